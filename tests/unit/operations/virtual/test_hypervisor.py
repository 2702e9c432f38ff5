"""The hypervisor: libvirt is installed and runs; networks and pools are created once."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from facts.libvirt import Libvirt
from operations.virtual import hypervisor
from quaylab.hosts.machine import Machine
from quaylab.virtual import known_hosts
from quaylab.virtual.found import Hypervisor, Object
from tests.unit.fake_host import FakeHost, stdin
from tests.unit.samples import machine
from tests.unit.virtual import FILES, VM, bare, lab, there

RHEL = machine(os_id="rhel", os_version="9.4", os_like=("fedora",))
RHEL_7 = machine(os_id="rhel", os_version="7.9", os_like=("fedora",))
NOTHING = Hypervisor(missing=frozenset({"virsh", "qemu"}))


def _host(report: Hypervisor) -> FakeHost:
    return FakeHost({Libvirt: report}, "@local")


def test_installed_tools_are_not_installed_again() -> None:
    host = _host(bare(lab()))
    assert host.shell(hypervisor.installed, lab=lab(), machine=machine()) == []
    assert host.noops == ["libvirt and QEMU are there"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (machine(), ("apt-get install", "qemu-system-x86", "xorriso", "dnsmasq-base", "lvm2")),
        (RHEL, ("dnf install", "qemu-kvm", "libvirt", "xorriso", "lvm2")),
        (RHEL_7, ("yum install", "genisoimage", "lvm2")),
    ],
    ids=["Debian", "RHEL 9", "RHEL 7"],
)
def test_installed(found: Machine, words: tuple[str, ...]) -> None:
    (command,) = _host(NOTHING).shell(hypervisor.installed, lab=lab(), machine=found)
    assert [word for word in words if word not in command] == []


def test_lvm_is_installed_for_volume_groups_only() -> None:
    (command,) = _host(NOTHING).shell(hypervisor.installed, lab=lab(**FILES), machine=machine())
    assert "lvm2" not in command


def test_running() -> None:
    host = _host(bare(lab()))
    assert host.shell(hypervisor.running, lab=lab(), machine=machine()) == []
    off = dataclasses.replace(bare(lab()), enabled=False)
    assert _host(off).shell(hypervisor.running, lab=lab(), machine=machine(systemd=False)) == []
    (command,) = _host(off).shell(hypervisor.running, lab=lab(), machine=machine())
    assert "systemctl enable --quiet --now libvirtd" in command
    assert "virtqemud" in command


def test_without_systemd_it_is_started_directly() -> None:
    (command,) = _host(NOTHING).shell(hypervisor.running, lab=lab(), machine=machine(systemd=False))
    assert "virtlogd -d; libvirtd -d" in command
    assert "libvirt does not answer" in command


def test_network_is_defined_and_started() -> None:
    define, autostart, start = _host(bare(lab())).operate(hypervisor.networks, lab=lab())
    assert "virbr-900" in base64.b64decode(stdin(define)).decode()
    assert [str(each).split()[-2] for each in (autostart, start)] == ["quaylab", "quaylab"]


@pytest.mark.parametrize("kind", ["networks", "pools"])
def test_existing_networks_and_pools_are_left_alone(kind: str) -> None:
    host = _host(there(lab()))
    assert host.shell(getattr(hypervisor, kind), lab=lab()) == []
    assert len(host.noops) == 1


@pytest.mark.parametrize(
    ("active", "autostart", "verbs"),
    [
        (False, True, ["start"]),
        (True, False, ["autostart"]),
        (False, False, ["autostart", "start"]),
    ],
)
@pytest.mark.parametrize(
    ("kind", "prefix"), [("networks", "net"), ("pools", "pool")], ids=["network", "pool"]
)
def test_a_stopped_network_or_pool_is_started(
    kind: str, prefix: str, active: bool, autostart: bool, verbs: list[str]
) -> None:
    report = there(lab())
    ((name, existing),) = getattr(report, kind).items()
    stopped = {name: Object(existing.xml, active, autostart)}
    stopped_kind: Any = {kind: stopped}
    changed = dataclasses.replace(report, **stopped_kind)
    commands = _host(changed).shell(getattr(hypervisor, kind), lab=lab())
    assert len(commands) == len(verbs)
    for verb, command in zip(verbs, commands, strict=True):
        assert f" {prefix}-{verb} {name} " in command


def test_a_volume_group_is_created_and_tagged() -> None:
    commands = _host(bare(lab())).shell(hypervisor.pools, lab=lab())
    assert commands[0].startswith("vgcreate --quiet --addtag quaylab virt-pool /dev/nvme0n1p2")
    assert "pool-define" in commands[1]


def test_an_existing_volume_group_is_used() -> None:
    report = dataclasses.replace(bare(lab()), volume_groups={"virt-pool": False})
    commands = _host(report).shell(hypervisor.pools, lab=lab())
    assert not any("vgcreate" in command for command in commands)


def test_a_directory_is_created_that_qemu_can_enter() -> None:
    made = lab(**FILES)
    commands = _host(bare(made)).shell(hypervisor.pools, lab=made)
    assert commands[0] == "test -d /srv/vms || install -d -m 0711 /srv/vms"


def test_a_foreign_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = lab()
    theirs = dataclasses.replace(bare(made), networks=there(lab(lab_name="theirs")).networks)
    host = _host(theirs)
    (command,) = host.shell(hypervisor.no_conflicts, lab=made)
    assert "a network quaylab that this lab has not made" in command
    assert "exit 1" in command
    host.executing = False
    assert host.shell(hypervisor.no_conflicts, lab=made) == []
    (command,) = _host(there(made)).shell(hypervisor.no_conflicts, lab=made)
    assert f"the lab quaylab on @local ({VM}, " in command
    known_hosts.save(Path(made.known_hosts), "")
    assert _host(there(made)).shell(hypervisor.no_conflicts, lab=made) == []
