"""libvirt's XML of a lab's objects. ElementTree escapes the values."""

from __future__ import annotations

from xml.etree.ElementTree import (
    Element,
    SubElement,
    fromstring,
    indent,
    register_namespace,
    tostring,
)

from quaylab.settings.hypervisor import Network, Pool
from quaylab.virtual.lab import SEED_TARGET, Disk, Lab, Machine

# A disk that is attached while its VM runs needs a free port, and libvirt alone leaves one:
# https://libvirt.org/pci-hotplug.html. It gives the ports that are declared to the VM's own devices
# first: besides root disk, disks and seed these are interface, serial bus, balloon, random numbers
# and USB.
SPARE_PORTS = 8
OTHER_DEVICES = 5
METADATA = "https://quaylab.lan/vm/1"
register_namespace("quaylab", METADATA)


def network(lab: Lab, wanted: Network) -> str:
    """Return a network with its own DHCP and DNS."""
    root = Element("network")
    _text(root, "name", wanted.name)
    _text(root, "uuid", lab.uuid("network", wanted.name))
    SubElement(root, "forward", mode=wanted.forward)
    SubElement(root, "bridge", name=wanted.bridge, stp="on", delay="0")
    SubElement(root, "domain", name=wanted.domain, localOnly="yes")
    dns = SubElement(root, "dns")
    for address in wanted.dns_forwarder or ():
        SubElement(dns, "forwarder", addr=address)
    ip = SubElement(root, "ip", address=wanted.ip_address, netmask=wanted.ip_netmask)
    SubElement(SubElement(ip, "dhcp"), "range", start=wanted.dhcp_start, end=wanted.dhcp_end)
    return _to_text(root)


def pool(lab: Lab, name: str, wanted: Pool) -> str:
    """Return a storage pool: a directory, or the volume group of the pool's name."""
    root = Element("pool", type="logical" if wanted.type == "lvm" else "dir")
    _text(root, "name", name)
    _text(root, "uuid", lab.uuid("pool", name))
    target = f"/dev/{name}" if wanted.type == "lvm" else wanted.path
    if wanted.type == "lvm":
        source = SubElement(root, "source")
        # Without its disks: libvirt takes them for another group's under other names of theirs.
        _text(source, "name", name)
        SubElement(source, "format", type="lvm2")
    _text(SubElement(root, "target"), "path", target)
    return _to_text(root)


def volume(disk: Disk) -> str:
    """Return the volume of a disk in its pool."""
    root = Element("volume")
    _text(root, "name", disk.volume)
    _text(root, "capacity", str(disk.size), unit="bytes")
    if disk.format == "qcow2":
        # In a logical pool this would make a snapshot.
        _text(root, "allocation", "0", unit="bytes")
        SubElement(SubElement(root, "target"), "format", type="qcow2")
    return _to_text(root)


def disk_device(disk: Disk) -> str:
    """Return a disk as it is attached to a domain."""
    return _to_text(_disk(disk.path, disk.format, disk.target, disk.serial))


def domain(lab: Lab, machine: Machine) -> str:
    """Return a VM with q35, virtio, a logged serial console, and the guest agent's channel."""
    virt_type = lab.settings.virt_type
    root = Element("domain", type=virt_type)
    _text(root, "name", machine.name)
    _text(root, "uuid", machine.uuid)
    metadata = SubElement(root, "metadata")
    # The image of its root disk: a logical volume doesn't show it.
    SubElement(metadata, f"{{{METADATA}}}vm", image=machine.image.checksum)
    _text(root, "memory", str(machine.ram * 1024), unit="KiB")
    _text(root, "vcpu", str(machine.vcpus))
    system = SubElement(root, "os")
    _text(system, "type", "hvm", arch="x86_64", machine="q35")
    SubElement(system, "boot", dev="hd")
    features = SubElement(root, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    # RHEL 9's user land needs more than QEMU's own default, qemu64.
    SubElement(root, "cpu", mode="host-model" if virt_type == "kvm" else "maximum")
    SubElement(root, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "restart")):
        _text(root, f"on_{event}", action)
    _devices(SubElement(root, "devices"), machine)
    return _to_text(root)


def with_virt_type(existing: str, wanted: str) -> str:
    """Return a domain as libvirt has it, with the ``virt_type`` and the processor of another: what
    was attached to it by hand stays."""
    root, other = fromstring(existing), fromstring(wanted)  # noqa: S314  # libvirt's own, and ours
    root.set("type", other.get("type", ""))
    for cpu in root.findall("cpu"):
        root.remove(cpu)
    root.extend(other.findall("cpu"))
    return tostring(root, encoding="unicode") + "\n"


def _devices(devices: Element, machine: Machine) -> None:
    SubElement(devices, "controller", type="pci", index="0", model="pcie-root")
    for _ in range(2 + len(machine.disks) + OTHER_DEVICES + SPARE_PORTS):
        SubElement(devices, "controller", type="pci", model="pcie-root-port")
    form = "raw" if machine.volume_group else "qcow2"
    devices.append(_disk(machine.root, form, "vda", "root"))
    for disk in machine.disks:
        devices.append(_disk(disk.path, disk.format, disk.target, disk.serial))
    # Not as a CD: cloud-init looks for it once, maybe before the SATA driver is loaded, which some
    # cloud kernels lack. Last, so that the other disks have the first letters.
    seed = _disk(machine.seed, "raw", SEED_TARGET, "seed")
    SubElement(seed, "readonly")
    devices.append(seed)
    interface = SubElement(devices, "interface", type="network")
    SubElement(interface, "mac", address=mac(machine))
    SubElement(interface, "source", network=machine.network)
    SubElement(interface, "model", type="virtio")
    serial = SubElement(devices, "serial", type="pty")
    SubElement(serial, "log", file=machine.console, append="on")
    SubElement(serial, "target", port="0")
    SubElement(SubElement(devices, "console", type="pty"), "target", type="serial", port="0")
    agent = SubElement(devices, "channel", type="unix")
    SubElement(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    rng = SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")


def mac(machine: Machine) -> str:
    """Return a MAC address in QEMU's range that stays the same, so a VM keeps its DHCP lease."""
    digits = machine.uuid[-6:]
    return f"52:54:00:{digits[:2]}:{digits[2:4]}:{digits[4:]}"


def _disk(path: str, form: str, target: str, serial: str) -> Element:
    block = path.startswith("/dev/")
    disk = Element("disk", type="block" if block else "file", device="disk")
    SubElement(disk, "driver", name="qemu", type=form, discard="unmap")
    SubElement(disk, "source", {"dev" if block else "file": path})
    SubElement(disk, "target", dev=target, bus="virtio")
    _text(disk, "serial", serial)
    return disk


def _text(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = text


def _to_text(root: Element) -> str:
    indent(root)
    return tostring(root, encoding="unicode") + "\n"
