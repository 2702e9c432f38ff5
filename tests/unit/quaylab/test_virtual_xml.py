"""XML definitions, checked by libvirt itself, whose test driver has everything in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import fromstring

import libvirt
import pytest

from quaylab.virtual import found, xml
from quaylab.virtual.lab import GB
from tests.unit.virtual import BRIDGE, FILES, VM, lab


@pytest.fixture
def connection() -> Iterator[Any]:
    """A libvirt for this test. The driver runs domains of the type `test` only."""
    opened = libvirt.open("test:///default")
    yield opened
    opened.close()


def _domain(made: Any) -> str:
    (machine,) = made.machines.values()
    text = xml.domain(made, machine)
    return text.replace('type="kvm"', 'type="test"').replace('arch="x86_64"', 'arch="i686"')


@pytest.mark.parametrize("forwarders", [None, ["192.0.2.53", "192.0.2.54"]])
def test_network(connection: Any, forwarders: list[str] | None) -> None:
    made = lab(libvirt_bridges=[{**BRIDGE, "dns_forwarder": forwarders}])
    (wanted,) = made.networks.values()
    network = connection.networkDefineXML(xml.network(made, wanted))
    network.setAutostart(1)
    network.create()
    assert network.isActive()
    assert network.bridgeName() == "virbr-900"
    assert network.UUIDString() == made.uuid("network", "quaylab")
    assert found.network(network.XMLDesc()) == {
        **{key: str(BRIDGE[key]) for key in found.NETWORK},
        "dns_forwarder": ", ".join(forwarders or ()),
    }


@pytest.mark.parametrize(
    ("changes", "kind", "path"),
    [({}, "logical", "/dev/virt-pool"), (FILES, "dir", "/srv/vms")],
    ids=["lvm", "dir"],
)
def test_pool_and_its_volumes(
    connection: Any, changes: dict[str, Any], kind: str, path: str
) -> None:
    made = lab(**changes)
    (wanted,) = made.pools.values()
    pool = connection.storagePoolDefineXML(xml.pool(made, "virt-pool", wanted))
    pool.build()
    pool.create()
    assert pool.UUIDString() == made.uuid("pool", "virt-pool")
    assert found.pool(pool.XMLDesc()) == {"type": kind, "path": path}
    for disk in made.machines[VM].disks:
        volume = pool.createXML(xml.volume(disk))
        assert volume.path() == disk.path
        assert volume.info()[1] == disk.size == 10 * GB


@pytest.mark.parametrize("changes", [{}, FILES], ids=["logical volumes", "files"])
def test_domain(connection: Any, changes: dict[str, Any]) -> None:
    made = lab(**changes)
    machine = made.machines[VM]
    domain = connection.defineXML(_domain(made))
    domain.setAutostart(1)
    domain.create()
    assert domain.isActive()
    assert domain.UUIDString() == machine.uuid
    assert found.domain(domain.XMLDesc()) == found.Domain(
        virt_type="test",
        vcpus=2,
        started_vcpus=2,
        ram=8192,
        started_ram=8192,
        network="quaylab",
        image=machine.image.checksum,
        disks={"vda": machine.root, **{disk.target: disk.path for disk in machine.disks}},
    )


def test_a_vm_has_free_ports_for_disks_to_come(connection: Any) -> None:
    """The VM's own devices take declared ports first (libvirt's docs/pci-hotplug.rst)."""
    root = fromstring(connection.defineXML(_domain(lab())).XMLDesc())  # noqa: S314  # our own
    assert root.find("devices/controller[@model='pcie-root']") is not None
    ports = root.findall("devices/controller[@model='pcie-root-port']")
    kinds = ("disk", "interface", "memballoon", "rng", "controller[@type='usb']")
    devices = sum(len(root.findall(f"devices/{kind}")) for kind in kinds)
    assert len(ports) >= devices + xml.SPARE_PORTS


def test_a_root_disk_that_is_a_logical_volume(connection: Any) -> None:
    made = lab()
    domain = connection.defineXML(_domain(made))
    (root,) = (
        disk
        for disk in fromstring(domain.XMLDesc()).iter("disk")  # noqa: S314  # our own
        if disk.findtext("serial") == "root"
    )
    assert root.get("type") == "block"
    source, driver = root.find("source"), root.find("driver")
    assert source is not None and source.get("dev") == f"/dev/virt-pool/{VM}-root"
    assert driver is not None and driver.get("type") == "raw"


def test_more_memory_is_defined_for_an_existing_domain(connection: Any) -> None:
    connection.defineXML(_domain(lab()))
    domain = connection.defineXML(_domain(lab(resources={"ram": 16384, "vcpus": 4})))
    now = found.domain(domain.XMLDesc())
    assert (now.ram, now.vcpus) == (16384, 4)


def test_disks_are_identified_by_serial() -> None:
    machine = lab().machines[VM]
    assert [(disk.target, disk.serial) for disk in machine.disks] == [
        ("vdb", "disk1"),
        ("vdc", "disk2"),
    ]
    (device, _) = (xml.disk_device(disk) for disk in machine.disks)
    assert "<serial>disk1</serial>" in device


@pytest.mark.parametrize(("virt_type", "cpu"), [("kvm", "host-model"), ("qemu", "maximum")])
def test_virt_type(virt_type: str, cpu: str) -> None:
    made = lab(virt_type=virt_type)
    text = xml.domain(made, made.machines[VM])
    assert found.domain(text).virt_type == virt_type
    assert f'<cpu mode="{cpu}" />' in text


def test_another_lab_has_other_uuids() -> None:
    one, other = lab(), lab(lab_name="another")
    assert one.uuid("network", "quaylab") != other.uuid("network", "quaylab")
    assert one.machines[VM].uuid != other.machines[VM].uuid
    assert xml.mac(one.machines[VM]).startswith("52:54:00:")


def test_a_disk_that_was_attached_by_hand_is_not_ours() -> None:
    made = lab()
    text = xml.domain(made, made.machines[VM])
    foreign = text.replace(f"/dev/virt-pool/{VM}-disk2", "/dev/sdz")
    assert found.disks_made_for(VM, foreign) == [
        f"/dev/virt-pool/{VM}-root",
        f"/dev/virt-pool/{VM}-disk1",
        f"/var/lib/libvirt/images/{VM}-seed.iso",
    ]
