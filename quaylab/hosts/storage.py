"""File systems on disks of their own: what has to be, and what of it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from quaylab.engines.daemon_settings import DRIVER
from quaylab.hosts.disks import Device, Disks, PhysicalVolume
from quaylab.hosts.machine import Machine
from quaylab.settings import disks as settings_of_disks
from quaylab.settings.loading import HostSettings, Settings

# Where Quay's disks are mounted unless quay_storage_path says so.
QUAY_STORAGE = "/srv/quay-storage"
# The tag of what we have made, and that of a logical volume whose file system isn't whole yet.
TAG = "quaylab"
UNFORMATTED = "quaylab.unformatted"
OPTIONS = "defaults,pquota,nofail"
QUOTAS = "prjquota"  # as the kernel calls pquota
MEGABYTE = 1024**2
# What LVM keeps for itself at the start of a disk, and what less than an extent leaves over.
OVERHEAD = 8 * MEGABYTE


@dataclass(frozen=True)
class Storage:
    """One file system: ``volume`` in ``volume_group`` on ``devices``, mounted at ``path``, which
    is None for the engine's root."""

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


def with_quays_path(settings: Settings, own: Iterable[HostSettings]) -> Settings:
    """The settings with the directory that Quay's own disks bring along."""
    if settings.quay_storage_path is None and any(each.quay_storage for each in own):
        return settings.model_copy(update={"quay_storage_path": QUAY_STORAGE})
    return settings


def wanted(own: HostSettings, settings: Settings, plays_quay: bool) -> tuple[Storage, ...]:
    """The file systems of a host that runs an engine, in the order they are mounted."""
    found = []
    if given := own.docker_storage:
        found.append(_storage("docker_storage", given, "docker-vg", "docker", None))
    if plays_quay and (given := own.quay_storage):
        found.append(_storage("quay_storage", given, "quay-vg", "quay", settings.quay_storage_path))
    return tuple(found)


def _storage(
    setting: str, given: settings_of_disks.Storage, group: str, volume: str, path: str | None
) -> Storage:
    devices = tuple(given.devices)
    return Storage(setting, devices, given.volume_group or group, volume, path, given.wipe)


def setup_file(storage: Storage, disks: Disks, devices: Sequence[str] = ()) -> str:
    """/etc/sysconfig/docker-storage-setup. Without devices once the volume group is there: the
    engine's unit runs the command at each start, and it fails on disks that it finds in use."""
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
    """Whether the volume group was made for this storage: by our tag, or, where RHEL 7's command
    was killed before we could set it, by the file that we gave to the command."""
    group = disks.groups.get(storage.volume_group)
    is_set_up = disks.setup.endswith(setup_file(storage, disks))
    return group is not None and (TAG in group.tags or is_set_up)


def members_on(device: Device, storage: Storage, disks: Disks) -> list[PhysicalVolume]:
    """The storage's physical volumes on a device: the device itself, or RHEL 7's partition."""
    return [pv for pv in disks.physical_on(device) if pv.group == storage.volume_group]


@dataclass(frozen=True)
class Work:
    """What is to do for one storage, in this order.

    ``remove`` are foreign volume groups and ``wipe`` devices, pieces before what they lie on;
    ``devices`` go into the volume group, which is to ``create`` or there already; ``resize`` are
    grown ones in it; ``format`` is whether the volume's file system is to be made, ``anew`` over
    one that isn't whole; ``grow`` is whether volume and file system are to fill the group.
    """

    remove: tuple[str, ...] = ()
    wipe: tuple[str, ...] = ()
    create: bool = False
    devices: tuple[str, ...] = ()
    resize: tuple[str, ...] = ()
    tag: bool = False
    volume: bool = False
    format: bool = False
    anew: bool = False
    grow: bool = False
    fstab: bool = False
    mount: bool = False


def work(storage: Storage, disks: Disks) -> Work:
    """What of a storage is missing. Each step shows in the disks' state, so that a run which was
    killed after any of them is finished by the next."""
    point = storage.mount_point(disks)
    ours = is_ours(storage, disks)
    group = disks.groups[storage.volume_group] if ours else None
    named = [found[0] for found in map(disks.named, storage.devices) if found]
    new = [each for each in named if not (ours and members_on(each, storage, disks))]
    remove: list[str] = []
    wipe: list[str] = []
    for device in new:
        if disks.content(device):
            pieces = [each for each in disks.pieces(device.path) if each.kind != "lvm"]
            wipe += [each.path for each in (*reversed(pieces), device)]
            remove += disks.groups_on(device)
    volume = disks.volume(storage.volume_group, storage.volume) if group else None
    on_it = disks.devices.get(volume.device) if volume else None
    mounted = disks.mounted_at(point) is not None
    anew = volume is None or UNFORMATTED in volume.tags
    blank = not mounted and (anew or not (on_it and on_it.filesystem))
    resize = (
        tuple(pv.device for pv in disks.members(group.name) if _grew(pv, disks)) if group else ()
    )
    lines = [line for line in disks.fstab if line.target == point]
    grow = False
    if volume and group and not blank:
        more = bool(new or resize) or group.free >= group.extent
        xfs = disks.xfs.get(point)
        grow = more or not mounted or (xfs is not None and volume.size - xfs.size >= group.extent)
    return Work(
        remove=tuple(dict.fromkeys(remove)),
        wipe=tuple(dict.fromkeys(wipe)),
        create=group is None,
        devices=tuple(each.path for each in new),
        resize=resize,
        tag=group is not None and TAG not in group.tags,
        volume=volume is None,
        format=blank,
        anew=anew,
        grow=grow,
        fstab=blank
        or [(line.source, line.options) for line in lines]
        != [(f"UUID={on_it.uuid if on_it else ''}", OPTIONS)],
        mount=not mounted,
    )


def unmounted(disks: Disks, storages: Sequence[Storage]) -> bool:
    """Whether this run is to mount a disk first, before its data can be seen."""
    return any(disks.mounted_at(each.mount_point(disks)) is None for each in storages)


def free_mb(machine: Machine, disks: Disks, storages: Sequence[Storage]) -> Mapping[str, int]:
    """A host's free space by mount point, with the file systems that this run is to mount."""
    expected = dict(machine.free_mb)
    for storage in storages:
        point = storage.mount_point(disks)
        if disks.mounted_at(point) is None:
            found = [each for device in storage.devices for each in disks.named(device)]
            if found:
                expected[point] = sum(each.size for each in found) // MEGABYTE
    return expected


def _grew(pv: PhysicalVolume, disks: Disks) -> bool:
    device = disks.devices.get(pv.device)
    return device is not None and device.size - pv.size >= OVERHEAD
