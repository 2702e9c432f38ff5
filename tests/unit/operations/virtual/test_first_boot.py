"""The wait for a first boot: it is bounded, logs progress, and shows the console on failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from facts.libvirt import Libvirt
from facts.virtual_machines import Addresses, HostKeys
from operations.virtual import first_boot
from quaylab.clients.first_boot import NotYet, SshTarget
from quaylab.virtual.lab import Lab
from tests.unit.fake_host import FakeHost
from tests.unit.virtual import VM, bare, lab, there

KEY = "ssh-ed25519 AAAA"
FACTS: dict[Any, Any] = {Addresses: {VM: "192.168.254.12"}, HostKeys: {VM: KEY}}


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the tunnel, the VM's key file, and the clock, which only a wait advances."""

    @contextmanager
    def through(host: object, address: str, port: int) -> Iterator[tuple[str, int]]:
        yield address, port

    clock = [0.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(first_boot.reach, "tunnel", through)
    monkeypatch.setattr(first_boot, "_key_file", lambda name: None)
    monkeypatch.setattr(first_boot.time, "sleep", sleep)
    monkeypatch.setattr(first_boot.time, "monotonic", lambda: clock[0])


def _answers(monkeypatch: pytest.MonkeyPatch, *answers: list[str] | str) -> list[SshTarget]:
    """Give one answer after the other, the last one repeatedly; a text is what the VM waits for."""
    left, asked = list(answers), []

    def first(machine: object, target: SshTarget) -> list[str]:
        asked.append(target)
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, str):
            raise NotYet(answer)
        return answer

    monkeypatch.setattr(first_boot, "first_boot", first)
    return asked


def _await(host: FakeHost, made: Lab) -> bool:
    with host.current():
        return first_boot._wait(None, host, made, made.machines[VM])  # type: ignore[arg-type]


def test_a_vm_that_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _answers(monkeypatch, [])
    host = FakeHost({Libvirt: there(lab()), **FACTS})
    assert host.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM]) == []
    assert asked == [SshTarget("192.168.254.12", 22, KEY, None)]
    assert host.noops == [f"{VM} answers"]


@pytest.mark.parametrize("report", [bare(lab()), there(lab())], ids=["not created", "booting"])
def test_a_vm_that_does_not_answer_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, report: Any
) -> None:
    _answers(monkeypatch, "cloud-init")
    host = FakeHost({Libvirt: report, **FACTS})
    assert len(host.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM])) == 1


def test_the_wait_logs_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, *["SSH (refused)"] * 4, *["cloud-init"] * 4, [])
    host = FakeHost(FACTS)
    assert _await(host, lab())
    assert host.messages == [
        f"{VM}: waits for SSH (refused), 15 s",
        f"{VM}: waits for cloud-init, 30 s",
    ]


@pytest.mark.parametrize(
    ("facts", "missing"),
    [({}, "an address"), ({Addresses: FACTS[Addresses]}, "its host key")],
    ids=["address", "key"],
)
def test_an_address_and_a_host_key_are_needed_before_ssh(
    facts: dict[Any, Any], missing: str
) -> None:
    host = FakeHost(facts)
    assert not _await(host, lab(virtual_machine_timeout=30))
    assert f"for {missing}" in host.messages[-1]


@pytest.mark.parametrize("virt_type", ["kvm", "qemu"])
def test_the_wait_ends_with_the_consoles_output(
    monkeypatch: pytest.MonkeyPatch, virt_type: str
) -> None:
    _answers(monkeypatch, "SSH (timed out)")
    host = FakeHost(FACTS)
    host.shell_output = (True, ["Kernel panic - not syncing"])
    assert not _await(host, lab(virt_type=virt_type, virtual_machine_timeout=600))
    message = host.messages[-1]
    assert "waited 605 s for SSH (timed out)" in message
    assert message.endswith("the end of its console:\nKernel panic - not syncing")
    assert ("set virt_type=qemu" in message) == (virt_type == "kvm")


def test_errors_of_cloud_init(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, ["('scripts_user', RuntimeError('1 failed'))"])
    host = FakeHost(FACTS)
    assert not _await(host, lab())
    assert "scripts_user" in host.messages[-1]
    # The next run reports them again.
    running = FakeHost({**FACTS, Libvirt: there(lab())})
    assert len(running.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM])) == 1


def test_errors_are_reported_by_the_next_run_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, ["('scripts_user', RuntimeError('1 failed'))"])
    host = FakeHost({Libvirt: there(lab()), **FACTS})
    assert len(host.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM])) == 1
    assert host.noops == []


def test_host_keys_are_saved_for_the_deploy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    host = FakeHost(FACTS)
    known_hosts = tmp_path / "credentials" / "quaylab-known_hosts"
    (begin,) = host.operate(first_boot.known_hosts_present, lab=lab())
    begin.function(*begin.args)  # type: ignore[union-attr]
    assert known_hosts.read_text() == ""
    assert host.operate(first_boot.known_hosts_present, lab=lab()) == []
    (save,) = host.operate(first_boot.known_hosts_saved, lab=lab())
    save.function(*save.args)  # type: ignore[union-attr]
    assert known_hosts.read_text() == f"{VM},192.168.254.12 {KEY}\n"
    assert known_hosts.parent.stat().st_mode & 0o777 == 0o700
    assert host.operate(first_boot.known_hosts_saved, lab=lab()) == []
