"""The teardown removes only what the lab has created."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.context import ctx_inventory

from facts.files import Files
from facts.libvirt import Libvirt
from facts.resolver import Resolver, ResolverState
from facts.virtual_machines import Addresses
from operations.virtual import resolver, teardown
from quaylab.model import FileState
from quaylab.virtual.found import Hypervisor, Object
from quaylab.virtual.lab import IMAGES, SEEDS
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.virtual import FILES, VM, bare, lab, there

THEIRS = there(lab(lab_name="theirs"))


def _host(report: Hypervisor) -> FakeHost:
    return FakeHost({Libvirt: report}, "@local")


@pytest.mark.parametrize("what", ["machines", "networks", "pools"])
@pytest.mark.parametrize("report", [bare(lab()), THEIRS], ids=["nothing", "another's"])
def test_nothing_of_ours_to_remove(what: str, report: Hypervisor) -> None:
    host = _host(dataclasses.replace(report, existing_paths=frozenset()))
    assert host.shell(getattr(teardown, what), lab=lab()) == []
    assert len(host.noops) == 1


def test_a_vm_is_removed_with_its_disks_and_its_seed() -> None:
    made = lab(**FILES)
    commands = _host(there(made)).shell(teardown.machines, lab=made)
    assert " destroy " in commands[0]
    assert commands[1:-1] == [
        f"rm -f {IMAGES}/{VM}-root.qcow2",
        f"rm -f /srv/vms/{VM}-disk1.qcow2",
        f"rm -f /srv/vms/{VM}-disk2.qcow2",
        f"rm -f {IMAGES}/{VM}-seed.iso",
        f"rm -rf {SEEDS}/{VM}",
    ]
    # Last, because until then the next run knows what is ours if this one is killed.
    assert " undefine " in commands[-1]
    assert not any("base" in command for command in commands)


def test_a_disk_attached_by_hand_stays() -> None:
    made = lab(**FILES)
    report = there(made)
    xml = report.domains[VM].xml.replace(f"{VM}-disk2.qcow2", f"{VM}-backup.qcow2")
    assert f"{VM}-backup.qcow2" in xml
    report = dataclasses.replace(report, domains={VM: Object(xml, True, True)})
    commands = _host(report).shell(teardown.machines, lab=made)
    assert f"rm -f /srv/vms/{VM}-disk1.qcow2" in commands
    assert not any("backup" in command for command in commands)


@pytest.mark.parametrize(
    ("name", "told"), [(VM, False), (VM, True), ("a.quaylab.lan", True)],
    ids=["not told", "told", "no longer in the inventory"],
)  # fmt: skip
def test_the_disk_under_a_snapshot_is_removed(
    name: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the next VM of this name would start from it."""
    report, root = there(lab(**FILES)), f"{IMAGES}/{VM}-root.qcow2"
    below = f'<backingStore type="file"><source file="{root}" /></backingStore>' if told else ""
    source = f'<source file="{root}" />'
    xml = report.domains[VM].xml
    assert source in xml
    xml = xml.replace(source, f'<source file="{IMAGES}/{VM}-root.snap" />{below}')
    report = dataclasses.replace(report, domains={VM: Object(xml, True, True)})
    commands = _host(report).shell(teardown.machines, lab=lab(name=name, **FILES))
    assert commands.count(f"rm -f {root}") == 1
    assert commands.index(f"rm -f {root}") < len(commands) - 1
    assert not any("snap" in command for command in commands[:-1])
    assert f"{VM}: {IMAGES}/{VM}-root.snap is not of this lab's making, and stays" in caplog.text


def test_logical_volumes_are_removed_as_such() -> None:
    commands = _host(there(lab())).shell(teardown.machines, lab=lab())
    assert sum("lvremove --quiet --yes /dev/virt-pool/" in each for each in commands) == 3


def test_leftovers_of_a_killed_run_without_a_vm() -> None:
    report = dataclasses.replace(there(lab()), domains={})
    commands = _host(report).shell(teardown.machines, lab=lab())
    assert len(commands) == 5
    assert f"rm -rf {SEEDS}/{VM}" in commands


def test_a_disk_without_a_seed_belongs_to_somebody_else() -> None:
    report = there(lab())
    disks = report.existing_paths - {lab().machines[VM].directory}
    host = _host(dataclasses.replace(report, domains={}, existing_paths=disks))
    assert f"{IMAGES}/{VM}-seed.iso" in disks
    assert host.shell(teardown.machines, lab=lab()) == []


def test_a_vm_that_the_inventory_no_longer_names() -> None:
    made = lab(name="other.quaylab.lan")
    report = dataclasses.replace(there(lab()), existing_paths=frozenset())
    commands = _host(report).shell(teardown.machines, lab=made)
    assert f"rm -f {IMAGES}/{VM}-seed.iso" in commands


@pytest.mark.parametrize(
    "operation",
    [
        teardown.machines,
        teardown.networks,
        teardown.pools,
        resolver.names_removed,
    ],
    ids=["machines", "networks", "pools", "names"],
)
def test_nothing_is_removed_while_libvirt_does_not_answer(operation: Any) -> None:
    report = dataclasses.replace(there(lab()), answers=False, networks={}, pools={}, domains={})
    host = _host(report)
    (command,) = host.shell(operation, lab=lab())
    assert "libvirt of @local does not answer; start it, and run again" in command
    assert command.endswith("exit 1")
    assert host.noops == []


def test_without_libvirt_nothing_can_be_running() -> None:
    report = Hypervisor(missing=frozenset(["virsh"]), existing_paths=there(lab()).existing_paths)
    commands = _host(report).shell(teardown.machines, lab=lab())
    assert f"rm -rf {SEEDS}/{VM}" in commands


def test_another_labs_vm_and_seed_stay() -> None:
    host = _host(THEIRS)
    assert VM in THEIRS.domains and lab().machines[VM].directory in THEIRS.existing_paths
    assert host.shell(teardown.machines, lab=lab()) == []


def test_networks() -> None:
    commands = _host(there(lab())).shell(teardown.networks, lab=lab())
    assert ["net-destroy" in commands[0], "net-undefine" in commands[1]] == [True, True]


def test_a_volume_group_is_removed_if_we_created_it() -> None:
    report = dataclasses.replace(there(lab()), volume_groups={"virt-pool": True})
    commands = _host(report).shell(teardown.pools, lab=lab())
    assert any("vgremove" in command for command in commands)
    assert " pool-undefine " in commands[-1]


def test_a_pool_of_a_volume_group_that_was_there_before_stays() -> None:
    """Libvirt would deactivate all volumes in the group."""
    report = dataclasses.replace(there(lab()), volume_groups={"virt-pool": False})
    (command,) = _host(report).shell(teardown.pools, lab=lab())
    assert " pool-autostart virt-pool --disable " in command
    pool = dataclasses.replace(report.pools["virt-pool"], autostart=False)
    stopped = dataclasses.replace(report, pools={"virt-pool": pool})
    assert _host(stopped).shell(teardown.pools, lab=lab()) == []


def test_a_directory_is_removed_if_it_is_empty() -> None:
    made = lab(**FILES)
    commands = _host(there(made)).shell(teardown.pools, lab=made)
    assert commands[1] == "test ! -d /srv/vms || rmdir --ignore-fail-on-non-empty /srv/vms"


# --- names ---


def _resolving(state: ResolverState) -> FakeHost:
    addresses = {VM: "192.168.254.12"}
    return FakeHost({Resolver: state, Addresses: addresses, Libvirt: bare(lab())}, "@local")


def test_names_by_etc_hosts() -> None:
    (command,) = _resolving(ResolverState()).shell(resolver.names_resolved, lab=lab())
    assert f"192.168.254.12 {VM} # quaylab-vms quaylab" in command
    host = _resolving(ResolverState(hosts=(f"192.168.254.12 {VM}",)))
    assert host.shell(resolver.names_resolved, lab=lab()) == []
    assert host.noops == ["/etc/hosts knows the VMs"]


def test_names_by_systemd_resolved() -> None:
    host = _resolving(ResolverState("systemd-resolved"))
    write, now = host.operate(resolver.names_resolved, lab=lab())
    assert "chmod 0755" in text(write)
    assert text(now) == "/etc/libvirt/hooks/network.d/quaylab-quaylab quaylab started"


def test_names_by_network_manager() -> None:
    host = _resolving(ResolverState("NetworkManager"))
    servers, main, reload, loaded = host.operate(resolver.names_resolved, lab=lab())
    assert "dnsmasq.d/quaylab-quaylab.conf" in text(servers)
    assert "conf.d/quaylab-quaylab.conf" in text(main)
    assert text(reload) == "systemctl reload NetworkManager"
    assert stdin(servers) != stdin(main)
    assert f"{SEEDS}/.resolver-quaylab" in text(loaded)


def _network_manager(*, loaded: bool) -> FakeHost:
    wanted = [*resolver._network_manager(lab()), *([resolver._loaded(lab())] if loaded else [])]
    host = _resolving(ResolverState("NetworkManager"))
    host.facts[Files] = {
        file.path: FileState(file.uid, file.gid, file.mode, file.sha256) for file in wanted
    }
    return host


def test_a_run_killed_before_the_reload_is_completed() -> None:
    commands = _network_manager(loaded=False).shell(resolver.names_resolved, lab=lab())
    assert commands[0] == "systemctl reload NetworkManager"
    assert len(commands) == 2
    host = _network_manager(loaded=True)
    assert host.shell(resolver.names_resolved, lab=lab()) == []
    assert host.noops == ["NetworkManager knows quaylab.lan"]


def test_the_note_of_the_reload_is_removed_last() -> None:
    commands = _network_manager(loaded=True).shell(resolver.names_removed, lab=lab())
    assert commands[-2:] == [
        "systemctl reload NetworkManager",
        f"rm -f {SEEDS}/.resolver-quaylab",
    ]


def test_names_are_forgotten() -> None:
    host = _resolving(ResolverState())
    assert host.shell(resolver.names_removed, lab=lab()) == []
    path = "/etc/NetworkManager/dnsmasq.d/quaylab-quaylab.conf"
    files: dict[Any, Any] = {Files: {path: FileState(0, 0, 0o644, "")}}
    host = _resolving(ResolverState("NetworkManager"))
    host.facts |= files
    commands = host.shell(resolver.names_removed, lab=lab())
    assert commands == [f"rm -f {path}", "systemctl reload NetworkManager"]
    lines = ResolverState(hosts=(f"192.168.254.12 {VM}",))
    (command,) = _resolving(lines).shell(resolver.names_removed, lab=lab())
    assert "grep -av" in command and VM not in command


def test_a_stopped_vm_is_not_stopped_again() -> None:
    off = {VM: Object(there(lab()).domains[VM].xml, False, True)}
    commands = _host(dataclasses.replace(there(lab()), domains=off)).shell(
        teardown.machines, lab=lab()
    )
    assert not any(" destroy " in command for command in commands)


@pytest.mark.parametrize("database", [VM, "db.example.com"])
def test_credentials_are_removed_unless_a_database_stays(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hosts = [SimpleNamespace(name=database, groups=["database"])]
    host = _host(there(lab()))
    Path(lab().known_hosts).parent.mkdir()
    Path(lab().known_hosts).touch()
    with ctx_inventory.use(hosts):
        commands = host.operate(teardown.credentials, lab=lab())
    assert len(commands) == (database == VM)
    assert any("encrypted" in reason for reason in host.noops) is (database != VM)


@pytest.mark.parametrize("what", ["machines", "networks", "pools"])
def test_a_libvirt_that_does_not_answer_is_refused(what: str) -> None:
    report = dataclasses.replace(there(lab()), answers=False, domains={}, networks={}, pools={})
    (command,) = _host(report).shell(getattr(teardown, what), lab=lab())
    assert "does not answer" in command and "exit 1" in command


def test_nothing_of_another_labs_vm_is_removed() -> None:
    commands = _host(THEIRS).shell(teardown.machines, lab=lab())
    assert commands == []


def test_a_disk_attached_by_hand_is_not_ours() -> None:
    xml = there(lab(**FILES)).domains[VM].xml.replace(f"{VM}-disk2.qcow2", f"{VM}-backup.qcow2")
    report = dataclasses.replace(there(lab(**FILES)), domains={VM: Object(xml, True, True)})
    commands = _host(report).shell(teardown.machines, lab=lab(**FILES))
    assert any(f"{VM}-disk1.qcow2" in command for command in commands)
    assert not any("backup" in command for command in commands)
