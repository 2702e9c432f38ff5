"""The wait for a first boot: bounded, told, and with the console's end if it fails."""

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
    """A way to every address, no data of the VM's, and a clock that a wait moves on."""

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
    """One answer after the other, a text being what the VM still lacks; the last one for ever."""
    left, asked = list(answers), []

    def first(machine: object, way: SshTarget) -> list[str]:
        asked.append(way)
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


@pytest.mark.parametrize("report", [bare(lab()), there(lab())], ids=["none yet", "at work"])
def test_one_that_does_not_is(monkeypatch: pytest.MonkeyPatch, report: Any) -> None:
    _answers(monkeypatch, "cloud-init")
    host = FakeHost({Libvirt: report, **FACTS})
    assert len(host.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM])) == 1


def test_the_wait_tells_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, *["SSH (refused)"] * 4, *["cloud-init"] * 4, [])
    host = FakeHost(FACTS)
    assert _await(host, lab())
    assert host.told == [
        f"{VM}: waits for SSH (refused), 15 s",
        f"{VM}: waits for cloud-init, 30 s",
    ]


@pytest.mark.parametrize(
    ("facts", "lacks"),
    [({}, "an address"), ({Addresses: FACTS[Addresses]}, "its host key")],
    ids=["address", "key"],
)
def test_what_comes_before_ssh(facts: dict[Any, Any], lacks: str) -> None:
    host = FakeHost(facts)
    assert not _await(host, lab(virtual_machine_timeout=30))
    assert f"for {lacks}" in host.told[-1]


@pytest.mark.parametrize("virt_type", ["kvm", "qemu"])
def test_the_wait_ends(monkeypatch: pytest.MonkeyPatch, virt_type: str) -> None:
    _answers(monkeypatch, "SSH (timed out)")
    host = FakeHost(FACTS)
    host.shell_output = (True, ["Kernel panic - not syncing"])
    assert not _await(host, lab(virt_type=virt_type, virtual_machine_timeout=600))
    told = host.told[-1]
    assert "waited 605 s for SSH (timed out)" in told
    assert told.endswith("the end of its console:\nKernel panic - not syncing")
    assert ("set virt_type=qemu" in told) == (virt_type == "kvm")


def test_errors_of_cloud_init(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, ["('scripts_user', RuntimeError('1 failed'))"])
    host = FakeHost(FACTS)
    assert not _await(host, lab())
    assert "scripts_user" in host.told[-1]
    # They are told again, not forgotten, by the next run.
    running = FakeHost({**FACTS, Libvirt: there(lab())})
    assert len(running.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM])) == 1


def test_errors_are_told_by_the_next_run_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    _answers(monkeypatch, ["('scripts_user', RuntimeError('1 failed'))"])
    host = FakeHost({Libvirt: there(lab()), **FACTS})
    assert len(host.operate(first_boot.finished, lab=lab(), machine=lab().machines[VM])) == 1
    assert host.noops == []


def test_host_keys_are_kept_for_the_deploy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    host = FakeHost(FACTS)
    kept = tmp_path / "credentials" / "quaylab-known_hosts"
    (begin,) = host.operate(first_boot.known_hosts_present, lab=lab())
    begin.function(*begin.args)  # type: ignore[union-attr]
    assert kept.read_text() == ""
    assert host.operate(first_boot.known_hosts_present, lab=lab()) == []
    (save,) = host.operate(first_boot.known_hosts_saved, lab=lab())
    save.function(*save.args)  # type: ignore[union-attr]
    assert kept.read_text() == f"{VM},192.168.254.12 {KEY}\n"
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert host.operate(first_boot.known_hosts_saved, lab=lab()) == []
