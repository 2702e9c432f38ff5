"""The hypervisor has the inventory's networks, pools and VMs, now and after a reboot."""

from __future__ import annotations

import pytest

from facts.libvirt import Libvirt
from facts.virtual_machines import Addresses
from quaylab.virtual import changes, found, xml
from quaylab.virtual.found import Hypervisor
from quaylab.virtual.lab import Lab as VirtualLab
from tests.hosts.lab import Lab, Target


@pytest.fixture
def wanted(lab: Lab) -> VirtualLab:
    assert lab.virtual  # the fixture hypervisor has no hosts without it
    return lab.virtual


@pytest.fixture
def report(hypervisor: Target, wanted: VirtualLab) -> Hypervisor:
    found: Hypervisor = hypervisor.ask(
        Libvirt(), paths=changes.paths(wanted), devices=changes.devices(wanted)
    )
    return found


def test_nothing_drifted(report: Hypervisor, wanted: VirtualLab) -> None:
    assert list(changes.refusals(wanted, report)) == []


def test_networks_are_active(report: Hypervisor, wanted: VirtualLab) -> None:
    states = {name: report.networks.get(name) for name in wanted.networks}
    assert [name for name, each in states.items() if not (each and each.active)] == []
    assert [name for name, each in states.items() if not (each and each.autostart)] == []


def test_pools_are_active(report: Hypervisor, wanted: VirtualLab) -> None:
    states = {name: report.pools.get(name) for name in wanted.pools}
    assert [name for name, each in states.items() if not (each and each.active)] == []
    assert [name for name, each in states.items() if not (each and each.autostart)] == []


def test_vms_run_with_their_size(report: Hypervisor, wanted: VirtualLab) -> None:
    for name, machine in wanted.machines.items():
        domain = report.domains[name]
        assert domain.active and domain.autostart
        assert found.domain(domain.xml) == found.domain(xml.domain(wanted, machine))


def test_disks_have_their_size(report: Hypervisor, wanted: VirtualLab) -> None:
    for machine in wanted.machines.values():
        sizes = {disk.path: disk.size for disk in machine.disks}
        assert {path: report.files[path].size for path in sizes} == sizes


def test_names_resolve_to_the_vms(hypervisor: Target, wanted: VirtualLab) -> None:
    addresses = hypervisor.ask(Addresses(), names=[*wanted.machines])
    assert set(addresses) == set(wanted.machines)
    for name, address in addresses.items():
        assert address in hypervisor.shell.addr(name).ipv4_addresses


def test_only_root_reads_the_files_of_seed_images(hypervisor: Target, wanted: VirtualLab) -> None:
    for machine in wanted.machines.values():
        for path in (f"{machine.directory}/user-data", f"{machine.directory}/ssh_host_ed25519_key"):
            file = hypervisor.shell.file(path)
            assert (file.user, oct(file.mode)) == ("root", "0o600")
        assert hypervisor.shell.file(machine.seed).mode & 0o077 == 0


def test_only_qemu_reads_a_root_disk(hypervisor: Target, wanted: VirtualLab) -> None:
    for machine in wanted.machines.values():
        if machine.volume_group is None:
            assert hypervisor.shell.file(machine.root).mode & 0o077 == 0


def test_a_vm_finds_its_disks_by_serial(virtual_machine: Target, wanted: VirtualLab) -> None:
    attached = virtual_machine.shell.run(
        "lsblk --nodeps --noheadings --output SERIAL"
    ).stdout.split()
    serials = [disk.serial for disk in wanted.machines[virtual_machine.name].disks]
    assert [serial for serial in serials if serial not in attached] == []
