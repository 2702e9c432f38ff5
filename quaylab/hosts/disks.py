"""A host's block devices, LVM, mounts and engine root as plain data; facts/storage.py reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from quaylab.engines import DOCKER

ENGINE_ROOT = DOCKER.root
PARTITION_TABLES = ("dos", "gpt", "PMBR")
# The signature of a physical volume in wipefs and blkid.
LVM = "LVM2_member"


@dataclass(frozen=True)
class Device:
    """A block device. ``path`` is the kernel's; ``parents`` are the devices that it lies on."""

    path: str
    kind: str
    size: int
    filesystem: str = ""
    mountpoint: str = ""
    serial: str = ""
    uuid: str = ""
    parents: frozenset[str] = frozenset()
    signatures: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhysicalVolume:
    """``group`` is empty without a group; ``used`` is whether an unseen group claims it."""

    device: str
    group: str
    used: bool
    size: int


@dataclass(frozen=True)
class VolumeGroup:
    """A volume group; ``missing`` is the number of its missing disks. Sizes are in bytes."""

    name: str
    tags: frozenset[str]
    size: int
    free: int
    extent: int
    missing: int


@dataclass(frozen=True)
class LogicalVolume:
    group: str
    name: str
    size: int
    tags: frozenset[str]
    device: str


@dataclass(frozen=True)
class Mount:
    device: str
    target: str
    filesystem: str
    options: frozenset[str]


@dataclass(frozen=True)
class XfsState:
    """A mounted xfs: its size in bytes, and whether it has ftype=1, which overlay2 needs."""

    size: int
    ftype: bool


@dataclass(frozen=True)
class FstabLine:
    source: str
    target: str
    options: str


@dataclass(frozen=True)
class Disks:
    """The report on a host's disks.

    ``names`` are other paths of devices, such as by-id paths. ``root`` is the engine's root
    directory, ``running`` whether the engine runs, ``driver`` its storage driver, ``data`` a
    description of data in it, and ``daemon`` its daemon.json. ``occupied`` are directories that are
    not empty. ``setup`` is RHEL 7's docker-storage-setup file.
    """

    devices: Mapping[str, Device] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    physical: Mapping[str, PhysicalVolume] = field(default_factory=dict)
    groups: Mapping[str, VolumeGroup] = field(default_factory=dict)
    logical: tuple[LogicalVolume, ...] = ()
    mounts: tuple[Mount, ...] = ()
    xfs: Mapping[str, XfsState] = field(default_factory=dict)
    fstab: tuple[FstabLine, ...] = ()
    tools: frozenset[str] = frozenset()
    root: str = ""
    running: bool = False
    driver: str = ""
    data: str = ""
    occupied: frozenset[str] = frozenset()
    daemon: str = ""
    setup: str = ""

    def find(self, name: str) -> list[Device]:
        """Return the devices of a path or serial number; several may have the same number."""
        path = self.names.get(name, name)
        if path.startswith("/"):
            return [self.devices[path]] if path in self.devices else []
        return [each for each in self.devices.values() if each.serial == name]

    def pieces(self, path: str) -> Iterator[Device]:
        """Yield everything on a device: partitions, logical volumes, and so on downwards."""
        for device in self.devices.values():
            if path in device.parents:
                yield device
                yield from self.pieces(device.path)

    def members(self, group: str) -> list[PhysicalVolume]:
        return [each for each in self.physical.values() if each.group == group]

    def volume(self, group: str, name: str) -> LogicalVolume | None:
        return next(
            (each for each in self.logical if (each.group, each.name) == (group, name)), None
        )

    def mount_at(self, target: str) -> Mount | None:
        """Return the visible mount at a path: the last one that was mounted there."""
        return next((each for each in reversed(self.mounts) if each.target == target), None)

    def physical_on(self, device: Device) -> list[PhysicalVolume]:
        """Return the physical volumes on a device: the device itself, or its partitions."""
        paths = {device.path, *(each.path for each in self.pieces(device.path))}
        return [each for each in self.physical.values() if each.device in paths]

    def unseen_physical_volume(self, device: Device) -> str | None:
        """Return a physical volume on a device that LVM, if installed, doesn't report: its
        configuration may exclude that device."""
        found = (each for each in (device, *self.pieces(device.path)) if LVM in each.signatures)
        unknown = (each.path for each in found if each.path not in self.physical)
        return next(unknown, None) if "vgcreate" in self.tools else None

    def groups_on(self, device: Device) -> list[str]:
        """Return the volume groups that a device is a part of."""
        return list(dict.fromkeys(pv.group for pv in self.physical_on(device) if pv.group))

    def disk_of(self, path: str) -> str:
        """Return the disk of a partition; for any other device its own path."""
        device = self.devices.get(path)
        if device is None or device.kind != "part":
            return path
        return min(device.parents, default=path)

    def use(self, device: Device) -> str | None:
        """Say who uses a device; None also for logical volumes that are not mounted."""
        for each in (device, *self.pieces(device.path)):
            if each.mountpoint == "[SWAP]":
                return f"{each.path} is swap"
            if each.mountpoint:
                return f"{each.path} is mounted at {each.mountpoint}"
            if each != device and each.kind not in ("part", "lvm"):
                return f"{each.path} ({each.kind}) lies on it"
        return None

    def content(self, device: Device) -> list[str]:
        """Describe what a device holds; a physical volume in no group counts as empty."""
        found = []
        partitions = [each.path for each in self.pieces(device.path) if each.kind == "part"]
        if partitions:
            found.append(f"partitions ({', '.join(partitions)})")
        found += [f"a part of volume group {group}" for group in self.groups_on(device)]
        physical = self.physical.get(device.path)
        for signature in device.signatures:
            if signature == LVM and physical and (physical.group or not physical.used):
                continue
            if not (partitions and signature in PARTITION_TABLES):
                found.append(f"a signature of {signature}")
        return found
