"""File systems on disks of their own, as they should be, and the work that this takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quaylab.engines.daemon_settings import DRIVER
from quaylab.hosts.disks import Device, Disks, PhysicalVolume
from quaylab.hosts.machine import Machine
from quaylab.settings import disks as disk_settings
from quaylab.settings.loading import HostSettings, Settings

# The mount point of Quay's disks unless quay_storage_path is set.
QUAY_STORAGE = "/srv/quay-storage"
# The tags of what we have made, and of a logical volume whose file system isn't complete yet.
TAG = "quaylab"
UNFORMATTED = "quaylab.unformatted"
OPTIONS = "defaults,pquota,nofail"
QUOTAS = "prjquota"  # as the kernel calls pquota
MEGABYTE = 1024**2
# In bytes: LVM's metadata at the start of a disk, and a rest of less than an extent.
OVERHEAD = 8 * MEGABYTE


@dataclass(frozen=True)
class Storage:
    """One file system: ``volume`` in ``volume_group`` on ``devices``, mounted at ``path``
    (None: the engine's root directory)."""

    setting: str
    devices: tuple[str, ...]
    volume_group: str
    volume: str
    path: str | None
    wipe: bool

    @property
    def volume_path(self) -> str:
        return f"/dev/{self.volume_group}/{self.volume}"

    def mount_point(self, disks: Disks) -> str:
        return self.path or disks.root


def with_quay_storage_path(settings: Settings, hosts: Iterable[HostSettings]) -> Settings:
    """Return the settings, with a default quay_storage_path if a host has disks for Quay."""
    if settings.quay_storage_path is None and any(each.quay_storage for each in hosts):
        return settings.model_copy(update={"quay_storage_path": QUAY_STORAGE})
    return settings


def storages_of(
    host_settings: HostSettings, settings: Settings, is_quay_host: bool
) -> tuple[Storage, ...]:
    """Return the file systems that a host should have, in the order in which they are mounted."""
    found = []
    if section := host_settings.docker_storage:
        found.append(_storage("docker_storage", section, "docker-vg", "docker", None))
    if is_quay_host and (section := host_settings.quay_storage):
        path = settings.quay_storage_path
        found.append(_storage("quay_storage", section, "quay-vg", "quay", path))
    return tuple(found)


def _storage(
    setting: str, section: disk_settings.Storage, group: str, volume: str, path: str | None
) -> Storage:
    devices = tuple(section.devices)
    return Storage(setting, devices, section.volume_group or group, volume, path, section.wipe)


def setup_file(storage: Storage, disks: Disks, devices: Sequence[str] = ()) -> str:
    """Return /etc/sysconfig/docker-storage-setup, without devices once the volume group exists: the
    engine's unit runs the command at each start, and it fails on disks that are in use."""
    lines = [f'DEVS="{" ".join(devices)}"'] if devices else []
    lines += [
        f"VG={storage.volume_group}",
        f"STORAGE_DRIVER={DRIVER}",
        f"CONTAINER_ROOT_LV_NAME={storage.volume}",
        "CONTAINER_ROOT_LV_SIZE=100%FREE",
        f"CONTAINER_ROOT_LV_MOUNT_PATH={storage.mount_point(disks)}",
    ]
    return "".join(f"{line}\n" for line in lines)


def is_ours(storage: Storage, disks: Disks) -> bool:
    """Whether the volume group was made for this storage. It has our tag; if RHEL 7's command was
    killed before we could set the tag, its settings file shows it."""
    group = disks.groups.get(storage.volume_group)
    is_set_up = disks.setup.endswith(setup_file(storage, disks))
    return group is not None and (TAG in group.tags or is_set_up)


def members_on(device: Device, storage: Storage, disks: Disks) -> list[PhysicalVolume]:
    """Return the storage's physical volumes on a device: the device, or RHEL 7's partition."""
    return [pv for pv in disks.physical_on(device) if pv.group == storage.volume_group]


@dataclass(frozen=True)
class Work:
    """The steps for one storage, in this order.

    Attributes:
        remove: foreign volume groups to remove.
        wipe: devices to wipe, partitions before their disk.
        create: whether to create the volume group; else it exists.
        devices: devices to add to the volume group.
        resize: physical volumes on devices that have grown.
        tag: whether to tag the volume group.
        volume: whether to create the logical volume.
        format: whether to make the file system.
        force: whether that may overwrite an incomplete one.
        grow: whether to extend volume and file system to the whole group.
        fstab: whether to write the line of /etc/fstab.
        mount: whether to mount the file system.
    """

    remove: tuple[str, ...] = ()
    wipe: tuple[str, ...] = ()
    create: bool = False
    devices: tuple[str, ...] = ()
    resize: tuple[str, ...] = ()
    tag: bool = False
    volume: bool = False
    format: bool = False
    force: bool = False
    grow: bool = False
    fstab: bool = False
    mount: bool = False


def work(storage: Storage, disks: Disks) -> Work:
    """Return the steps that a storage still needs. Each step is visible in the disks' state, so the
    next run finishes what a killed run has begun."""
    point = storage.mount_point(disks)
    ours = is_ours(storage, disks)
    group = disks.groups[storage.volume_group] if ours else None
    listed = [found[0] for found in map(disks.find, storage.devices) if found]
    new = [each for each in listed if not (ours and members_on(each, storage, disks))]
    remove: list[str] = []
    wipe: list[str] = []
    for device in new:
        if disks.content(device):
            pieces = [each for each in disks.pieces(device.path) if each.kind != "lvm"]
            wipe += [each.path for each in (*reversed(pieces), device)]
            remove += disks.groups_on(device)
    volume = disks.volume(storage.volume_group, storage.volume) if group else None
    block_device = disks.devices.get(volume.device) if volume else None
    mounted = disks.mount_at(point) is not None
    force = volume is None or UNFORMATTED in volume.tags
    blank = not mounted and (force or not (block_device and block_device.filesystem))
    resize = (
        tuple(pv.device for pv in disks.members(group.name) if _has_grown(pv, disks))
        if group
        else ()
    )
    lines = [line for line in disks.fstab if line.target == point]
    grow = False
    if volume and group and not blank:
        has_space = bool(new or resize) or group.free >= group.extent
        xfs = disks.xfs.get(point)
        grow = (
            has_space or not mounted or (xfs is not None and volume.size - xfs.size >= group.extent)
        )
    return Work(
        remove=tuple(dict.fromkeys(remove)),
        wipe=tuple(dict.fromkeys(wipe)),
        create=group is None,
        devices=tuple(each.path for each in new),
        resize=resize,
        tag=group is not None and TAG not in group.tags,
        volume=volume is None,
        format=blank,
        force=force,
        grow=grow,
        fstab=blank
        or [(line.source, line.options) for line in lines]
        != [(f"UUID={block_device.uuid if block_device else ''}", OPTIONS)],
        mount=not mounted,
    )


def has_unmounted(disks: Disks, storages: Sequence[Storage]) -> bool:
    """Whether this run has to mount a file system before its data can be seen."""
    return any(disks.mount_at(each.mount_point(disks)) is None for each in storages)


def free_mb(machine: Machine, disks: Disks, storages: Sequence[Storage]) -> Mapping[str, int]:
    """Return a host's free MB by mount point, with the file systems that this run will mount."""
    expected = dict(machine.free_mb)
    for storage in storages:
        point = storage.mount_point(disks)
        if disks.mount_at(point) is None:
            found = [each for device in storage.devices for each in disks.find(device)]
            if found:
                expected[point] = sum(each.size for each in found) // MEGABYTE
    return expected


def _has_grown(pv: PhysicalVolume, disks: Disks) -> bool:
    device = disks.devices.get(pv.device)
    return device is not None and device.size - pv.size >= OVERHEAD
