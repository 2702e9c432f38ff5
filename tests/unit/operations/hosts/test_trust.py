"""Names that a host must resolve, and certificates that it must trust."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from facts import engines
from facts.files import Files
from facts.trust import BundleHolds, Name, NameState
from operations.hosts import trust
from quaylab.checks import ownership
from quaylab.engines import DOCKER, PODMAN, ContainerEngine
from quaylab.model import FileState, ManagedFile
from quaylab.plan import Plan
from tests.authority import Authority
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import certified, machine
from tests.unit.shell import Shell

NAME, ADDRESS = "quay.quaylab.lan", "192.168.254.10"


def _name_known(state: NameState) -> list[str]:
    return FakeHost({Name: state}).shell(trust.name_known, hostname=NAME, address=ADDRESS)


@pytest.mark.parametrize(
    "state", [NameState(True, None), NameState(True, ADDRESS)], ids=["by DNS", "by our line"]
)
def test_a_resolvable_name_is_left_alone(state: NameState) -> None:
    assert _name_known(state) == []


@pytest.mark.parametrize(
    "state", [NameState(False, None), NameState(True, "10.0.0.1")], ids=["unknown", "outdated"]
)
def test_our_line_is_written_once_and_the_others_stay(
    state: NameState, shell: Shell, tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n10.0.0.1 {NAME} # quaylab\n# end\n")
    (command,) = _name_known(state)
    assert shell.run(command.replace("/etc/hosts", str(hosts))).returncode == 0
    assert hosts.read_text() == f"127.0.0.1 localhost\n# end\n{ADDRESS} {NAME} # quaylab\n"


@pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=str)
def test_our_line_goes_once_dns_knows_the_name_if_containers_get_it(
    engine: ContainerEngine, shell: Shell, tmp_path: Path
) -> None:
    """There 127.0.0.1 is the container itself, so Quay could not mirror into the registry."""
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{ADDRESS} {NAME} # quaylab\n")
    host: Any = FakeHost({Name: NameState(True, ADDRESS, dns_has_another=True)})
    engines.use(host, engine)
    for command in host.shell(trust.name_known, hostname=NAME, address=ADDRESS):
        assert shell.run(command.replace("/etc/hosts", str(hosts))).returncode == 0
    assert (NAME in hosts.read_text()) is (engine is DOCKER)
    assert "127.0.0.1 localhost\n" in hosts.read_text()


@pytest.mark.parametrize("managed", [None, ADDRESS], ids=["DNS knows the new one", "by our line"])
def test_the_line_of_a_former_name_goes(managed: str | None, shell: Shell, tmp_path: Path) -> None:
    hosts, ours = tmp_path / "hosts", f"{ADDRESS} {NAME} # quaylab\n" if managed else ""
    hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 former.lan # quaylab\n{ours}")
    (command,) = _name_known(NameState(True, managed, has_former_name=True))
    assert shell.run(command.replace("/etc/hosts", str(hosts))).returncode == 0
    assert hosts.read_text() == f"127.0.0.1 localhost\n{ours}"


# --- a balancer elsewhere, of which only a name is known ---


def _elsewhere(state: NameState) -> list[str]:
    return FakeHost({Name: state}).shell(trust.name_known, hostname=NAME, address=None)


def test_dns_knows_the_balancer() -> None:
    assert _elsewhere(NameState(True, None)) == []


@pytest.mark.parametrize(
    ("state", "commands"),
    [
        (NameState(False, None), 1),
        (NameState(True, ADDRESS), 2),
        (NameState(False, None, has_former_name=True), 2),
    ],
    ids=["unknown", "by our line, which is removed first", "as is that of a former name"],
)
def test_only_dns_can_know_the_balancer(state: NameState, commands: int, shell: Shell) -> None:
    shell.stub("getent", "exit 2")
    found = _elsewhere(state)
    assert len(found) == commands
    done = shell.run(found[-1])
    assert done.returncode == 1
    assert done.stderr == (
        f"server_hostname: quay.example.com can't resolve {NAME}, the name of a balancer that runs "
        "elsewhere; enter it into DNS, or set balancer_host to its address\n"
    )


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(certified().ca_certificate or "")
    return path


@pytest.mark.parametrize(
    ("os_id", "anchor", "update"),
    [
        ("debian", "/usr/local/share/ca-certificates/", "update-ca-certificates"),
        ("rhel", "/etc/pki/ca-trust/source/anchors/", "update-ca-trust"),
    ],
)
def test_company_ca_is_trusted(authority: Path, os_id: str, anchor: str, update: str) -> None:
    write, refresh = FakeHost().operate(
        trust.authority_trusted, machine=machine(os_id=os_id), authority=authority
    )
    assert anchor in text(write)
    assert base64.b64decode(stdin(write)).decode() == authority.read_text()
    assert text(refresh).startswith(update)


def test_a_trusted_company_ca_is_left_alone(authority: Path) -> None:
    host = FakeHost({BundleHolds: True})
    assert host.operate(trust.authority_trusted, machine=machine(), authority=authority) == []


@pytest.mark.parametrize("preface", ["", "Company CA\n\n", "# CA\r\n# of the company\r\n"])
def test_the_bundle_is_searched_for_all_of_each_certificate(tmp_path: Path, preface: str) -> None:
    """A renewed CA has most lines of the one before, and a file may have both."""
    found = [Authority.new("Company CA").pem for _ in range(2)]
    path = tmp_path / "ca.pem"
    path.write_text(preface + "".join(found))
    host = FakeHost({BundleHolds: True})
    host.operate(trust.authority_trusted, machine=machine(), authority=path)
    (asked,) = host.asked
    assert asked["bodies"] == ["".join(pem.splitlines()[1:-1]) for pem in found]


# --- the registry's note ---


def _noted(lab: Plan, before: str | None, **facts: Any) -> list[str]:
    name = "quay.example.com"
    lab = dataclasses.replace(lab, machines={name: machine(registry=before)})
    return FakeHost(facts.get("facts"), name).shell(trust.registry_noted, plan=lab)


def _note(lab: Plan, port: int = 443) -> ManagedFile:
    where = dataclasses.replace(lab.topology, https_port=port)
    return ownership.note(where, lab.credentials, lab.settings.lab_name, "docker")


def test_the_registry_is_recorded_on_its_host(lab: Plan) -> None:
    (command,) = _noted(lab, None)
    assert "/var/lib/quaylab/registry.new" in command
    note = _note(lab)
    there = {Files: {note.path: FileState(0, 0, note.mode, note.sha256)}}
    assert _noted(lab, note.content, facts=there) == []


def test_the_ca_of_a_former_port_is_removed(lab: Plan) -> None:
    removed, written = _noted(lab, _note(lab, port=8443).content)
    folder = "/etc/docker/certs.d/quay.example.com:8443"
    assert removed == f"rm -f {folder}/ca.crt ; rmdir {folder} 2>/dev/null || :"
    assert "/var/lib/quaylab/registry.new" in written


def test_the_ca_of_the_images_registry_stays(lab: Plan) -> None:
    (source,) = lab.registries
    (written,) = _noted(lab, f"{lab.credentials.fingerprint} {source} lab")
    assert "/var/lib/quaylab/registry.new" in written
