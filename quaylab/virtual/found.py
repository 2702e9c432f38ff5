"""The hypervisor's report: the values in libvirt's XML that are compared with the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, fromstring

from quaylab.virtual.lab import SEED_TARGET, belongs_to
from quaylab.virtual.xml import METADATA

# The compared values of a network: the key in libvirt_bridges; element and attribute in the XML.
NETWORK = {
    "forward": ("forward", "mode"),
    "bridge": ("bridge", "name"),
    "domain": ("domain", "name"),
    "ip_address": ("ip", "address"),
    "ip_netmask": ("ip", "netmask"),
    "dhcp_start": ("ip/dhcp/range", "start"),
    "dhcp_end": ("ip/dhcp/range", "end"),
}


@dataclass(frozen=True)
class Object:
    """A network, pool or domain in libvirt."""

    xml: str = field(repr=False)
    active: bool
    autostart: bool

    @property
    def root(self) -> Element:
        return _read(self.xml)

    @property
    def name(self) -> str:
        return self.root.findtext("name") or ""

    @property
    def uuid(self) -> str:
        return self.root.findtext("uuid") or ""


@dataclass(frozen=True)
class DiskFile:
    """A disk's file or logical volume, as qemu-img reports it. ``size`` is in bytes."""

    format: str
    size: int


@dataclass(frozen=True)
class Device:
    """A disk or partition: its volume group, and other content."""

    volume_group: str | None
    content: str | None


@dataclass(frozen=True)
class Hypervisor:
    """The whole report. ``missing`` are tools that are not installed; ``answers``: libvirt does."""

    missing: frozenset[str] = frozenset()
    answers: bool = False
    enabled: bool = False
    kvm: bool = False
    networks: Mapping[str, Object] = field(default_factory=dict)
    pools: Mapping[str, Object] = field(default_factory=dict)
    domains: Mapping[str, Object] = field(default_factory=dict)
    files: Mapping[str, DiskFile] = field(default_factory=dict)
    devices: Mapping[str, Device] = field(default_factory=dict)
    # The disks of running VMs, by path, with the sizes in bytes that the guests see; without those
    # of a VM that is busy with another job.
    live_sizes: Mapping[str, int] = field(default_factory=dict)
    # Volume groups, and whether each has our tag.
    volume_groups: Mapping[str, bool] = field(default_factory=dict)
    # The VMs' public SSH host keys, by VM, as in known_hosts; of all labs.
    host_keys: Mapping[str, str] = field(default_factory=dict)
    # Of the other files and directories in question, those that exist.
    existing_paths: frozenset[str] = frozenset()


def network(xml: str) -> dict[str, str]:
    """Return the compared values of a network."""
    root = _read(xml)
    found = {key: _attribute(root, *place) for key, place in NETWORK.items()}
    forwarders = [each.get("addr", "") for each in root.findall("dns/forwarder")]
    return found | {"dns_forwarder": ", ".join(forwarders)}


def pool(xml: str) -> dict[str, str]:
    """Return the compared values of a pool, without the disk: a group may be on several disks."""
    root = _read(xml)
    return {"type": root.get("type", ""), "path": root.findtext("target/path") or ""}


@dataclass(frozen=True)
class Domain:
    """The compared values of a domain. ``disks`` are paths by target, such as vdb, without the seed
    image. ``ram`` is in MB; ``image`` is the checksum of its image. ``started_vcpus`` and
    ``started_ram`` are what it starts with, ``vcpus`` and ``ram`` what it may get."""

    virt_type: str
    vcpus: int
    started_vcpus: int
    ram: int
    started_ram: int
    network: str
    image: str | None
    disks: Mapping[str, str]


def domain(xml: str) -> Domain:
    """Return the compared values of a domain."""
    root = _read(xml)
    disks = {
        _attribute(disk, "target", "dev"): _attribute(disk, "source", "file")
        or _attribute(disk, "source", "dev")
        for disk in root.findall("devices/disk[@device='disk']")
    }
    vcpus, ram = root.findtext("vcpu") or "0", root.findtext("memory") or "0"
    vm = root.find(f"metadata/{{{METADATA}}}vm")
    return Domain(
        virt_type=root.get("type", ""),
        vcpus=int(vcpus),
        started_vcpus=int(_attribute(root, "vcpu", "current") or vcpus),
        ram=int(ram) // 1024,
        started_ram=int(root.findtext("currentMemory") or ram) // 1024,
        network=_attribute(root, "devices/interface/source", "network"),
        image=None if vm is None else vm.get("image"),
        disks={target: path for target, path in disks.items() if target != SEED_TARGET},
    )


def disks_made_for(name: str, xml: str) -> list[str]:
    """Return the files and volumes that were made for a domain, by their names: others may have
    been attached to it by hand. Those under a snapshot are among them if libvirt tells."""
    sources = [each for disk in _read(xml).findall("devices/disk") for each in disk.iter("source")]
    paths = [each.get("file") or each.get("dev") or "" for each in sources]
    return [path for path in paths if belongs_to(name, path)]


def _attribute(root: Element, path: str, name: str) -> str:
    element = root.find(path)
    return "" if element is None else element.get(name, "")


def _read(xml: str) -> Element:
    return fromstring(xml)  # noqa: S314  # libvirt's own, from a host where we are root
