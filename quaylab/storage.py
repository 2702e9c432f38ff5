"""File systems on disks of their own: what has to be, what is missing, and what is in the way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from quaylab.disks import Device, Disks, PhysicalVolume
from quaylab.machine import Machine
from quaylab.settings import HostSettings, Settings
from quaylab.settings import disks as settings_of_disks

# Where Quay's disks are mounted unless quay_storage_path says so.
QUAY_STORAGE = "/srv/quay-storage"
# The tag of what we have made, and that of a logical volume whose file system isn't whole yet.
TAG = "quaylab"
UNFORMATTED = "quaylab.unformatted"
OPTIONS = "defaults,pquota,nofail"
QUOTAS = "prjquota"  # as the kernel calls pquota
DRIVER = "overlay2"
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


def is_legacy(machine: Machine) -> bool:
    """Whether the engine's own docker-storage-setup makes its storage, as on RHEL 7."""
    return machine.red_hat_family and machine.os_id != "fedora" and machine.os_major == 7


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
    told = disks.setup.endswith(setup_file(storage, disks))
    return group is not None and (TAG in group.tags or told)


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
    new = [each for each in named if not (ours and _members_on(each, storage, disks))]
    remove: list[str] = []
    wipe: list[str] = []
    for device in new:
        if list(_content(device, disks)):
            pieces = [each for each in disks.pieces(device.path) if each.kind != "lvm"]
            wipe += [each.path for each in (*reversed(pieces), device)]
            remove += _groups_on(device, disks)
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


def problems(
    name: str, machine: Machine, disks: Disks, storages: Sequence[Storage]
) -> Iterator[str]:
    """Why a host's storages can't be made, each by its setting."""
    yield from _twice(name, disks, storages)
    for storage in storages:
        key = storage.setting
        for device in storage.devices:
            yield from _unknown(f"{key}.devices: {device}", name, disks, device)
        yield from _taken(name, disks, storage)
        for problem in _group_problems(name, disks, storage):
            yield f"{key}.{problem}"
        for problem in _mount_problems(name, machine, disks, storage):
            yield f"{key}: {problem}"
        told = storage.path is None and not is_legacy(machine)
        if told and (reason := daemon_problem(disks.daemon)):
            yield f"{key}: /etc/docker/daemon.json of {name} {reason}"


def daemon_problem(text: str) -> str | None:
    """Why the engine's settings can't be told the storage driver."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        return f"is no valid JSON ({error}); put it right"
    if not isinstance(found, dict):
        return "holds no JSON object; put it right"
    features = found.get("features")
    if isinstance(features, dict) and features.get("containerd-snapshotter"):
        return (
            "turns on containerd-snapshotter, with which images are kept outside of the engine's "
            "root; remove that feature, or docker_storage"
        )
    return None


def with_driver(text: str) -> str | None:
    """The engine's settings with the storage driver; None if they have it."""
    found = json.loads(text) if text.strip() else {}
    if found.get("storage-driver") == DRIVER:
        return None
    return json.dumps({**found, "storage-driver": DRIVER}, indent=2) + "\n"


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


def _twice(name: str, disks: Disks, storages: Sequence[Storage]) -> Iterator[str]:
    """Disks and volume groups that are given to two."""
    given = [
        (f"{storage.setting}.devices", device, found[0])
        for storage in storages
        for device in storage.devices
        if len(found := disks.named(device)) == 1
    ]
    for at, (key, device, disk) in enumerate(given):
        for other_key, other, earlier in given[:at]:
            if disk == earlier:
                yield (
                    f"{key}: {device} is the disk that {other_key} names as {other}, "
                    f"{disk.path} of {name}; name each disk once"
                )
            elif disk in disks.pieces(earlier.path) or earlier in disks.pieces(disk.path):
                yield f"{key}: {device} and {other} overlap on {name}; name one of the two"
    groups = [storage.volume_group for storage in storages]
    if len(set(groups)) < len(groups):
        yield f"quay_storage.volume_group: {groups[0]} is docker_storage's too; take another name"


def _unknown(key: str, name: str, disks: Disks, device: str) -> Iterator[str]:
    found = disks.named(device)
    if not found:
        there = ", ".join(_title(each) for each in disks.devices.values() if each.kind == "disk")
        yield f"{key} is no disk of {name}; there are: {there or 'none'}"
    elif len(found) > 1:
        paths = ", ".join(each.path for each in found)
        yield f"{key} is the serial number of {paths} on {name}; name a path"


def _title(device: Device) -> str:
    size = f"{device.size / 1024**3:.1f} GiB"
    return f"{device.path} ({size}{', serial ' + device.serial if device.serial else ''})"


def _taken(name: str, disks: Disks, storage: Storage) -> Iterator[str]:
    """Disks that are in use, or hold what nobody has said may go."""
    key = f"{storage.setting}.devices"
    named = {found[0].path for found in map(disks.named, storage.devices) if found}
    ours = is_ours(storage, disks)
    for path in sorted(named):
        device = disks.devices[path]
        if ours and _members_on(device, storage, disks):
            continue
        if used := _use(device, disks):
            yield f"{key}: {path} of {name} is in use: {used}; name another, or free it first"
            continue
        content = ", ".join(_content(device, disks))
        if content and not storage.wipe:
            yield (
                f"{key}: {path} of {name} holds {content}; name another, or set wipe to True "
                f"in {storage.setting}, which destroys that"
            )
        elif content:
            for group in _groups_on(device, disks):
                rest = [pv.device for pv in disks.members(group)]
                outside = [each for each in rest if _disk_of(each, disks) not in named]
                if outside or disks.groups[group].missing:
                    others = ", ".join(outside) or "disks that are missing"
                    yield (
                        f"{key}: {path} of {name} is a part of volume group {group}, which lies "
                        f"on {others} as well; remove it from there first: vgreduce"
                    )


def _group_problems(name: str, disks: Disks, storage: Storage) -> Iterator[str]:
    group = disks.groups.get(storage.volume_group)
    if group is None:
        return
    named = {found[0].path for found in map(disks.named, storage.devices) if found}
    members = disks.members(group.name)
    unnamed = [pv.device for pv in members if not named & {pv.device, _disk_of(pv.device, disks)}]
    if not is_ours(storage, disks):
        if unnamed or not storage.wipe:
            where = ", ".join(pv.device for pv in members)
            yield (
                f"volume_group: {group.name} is on {name} already, on {where}, and not made by "
                "Quaylab; take another name"
            )
        return
    if group.missing:
        yield f"volume_group: {group.name} on {name} lacks {group.missing} disks; attach them"
    for device in unnamed:
        if not group.missing:
            yield (
                f"devices: {device} of {name} is a part of {group.name} and not named any more; "
                "name it: no disk is taken out of a volume group"
            )
    volume = disks.volume(storage.volume_group, storage.volume)
    on_it = disks.devices.get(volume.device) if volume else None
    if on_it and on_it.filesystem not in ("", "xfs"):
        yield (
            f"volume_group: {storage.volume_path} on {name} holds {on_it.filesystem}, not xfs; "
            "take another name"
        )


def _mount_problems(name: str, machine: Machine, disks: Disks, storage: Storage) -> Iterator[str]:
    point = storage.mount_point(disks)
    volume = disks.volume(storage.volume_group, storage.volume)
    device = volume.device if volume else None
    on_it = disks.devices.get(device or "")
    ours = {storage.volume_path, *_names(disks, device), *([f"UUID={on_it.uuid}"] if on_it else [])}
    for line in disks.fstab:
        if line.target == point and line.source not in ours:
            yield f"/etc/fstab of {name} mounts {line.source} at {point}; remove that line"
    mount = disks.mounted_at(point)
    if mount and mount.device != device:
        yield f"{mount.device} is mounted at {point} of {name} already; unmount it"
    elif mount:
        if QUOTAS not in mount.options:
            yield (
                f"{point} of {name} is mounted without project quotas; unmount it, and run again"
            )
        if (xfs := disks.xfs.get(point)) and not xfs.ftype:
            yield f"{storage.volume_path} on {name} was made without ftype=1, which overlay2 needs"
    else:
        yield from _hidden(name, machine, disks, storage)
        for other in disks.mounts:
            if other.device == device and not _within(other.target, disks.root):
                yield f"{storage.volume_path} on {name} is mounted at {other.target}; unmount it"


def _hidden(name: str, machine: Machine, disks: Disks, storage: Storage) -> Iterator[str]:
    """What a mount would hide."""
    point = storage.mount_point(disks)
    if storage.path is None:
        if disks.data:
            yield (
                f"the engine of {name} has data already ({disks.data}), which a mount at {point} "
                "would hide; save what is needed and remove the rest (docker system prune "
                f"--all --volumes), or stop the engine and move {point} away"
            )
        elif disks.running and not machine.systemd:
            yield f"dockerd runs on {name}, and without systemd it is yours to stop: stop it"
    elif point in disks.occupied:
        yield f"{point} on {name} holds data, which a mount would hide; move it away"
    elif _within(point, disks.root) or _within(disks.root, point):
        yield (
            f"{point} and the engine's root {disks.root} lie in each other; set quay_storage_path "
            "to another directory"
        )


def _names(disks: Disks, device: str | None) -> list[str]:
    return [name for name, path in disks.names.items() if path == device]


def _within(path: str, parent: str) -> bool:
    return PurePosixPath(path).is_relative_to(parent)


def _members_on(device: Device, storage: Storage, disks: Disks) -> list[PhysicalVolume]:
    """The storage's physical volumes on a device: itself, or RHEL 7's partition of it."""
    paths = {device.path, *(each.path for each in disks.pieces(device.path))}
    return [pv for pv in disks.members(storage.volume_group) if pv.device in paths]


def _groups_on(device: Device, disks: Disks) -> list[str]:
    paths = {device.path, *(each.path for each in disks.pieces(device.path))}
    return [pv.group for pv in disks.physical.values() if pv.group and pv.device in paths]


def _disk_of(path: str, disks: Disks) -> str:
    """The whole disk that a partition lies on."""
    device = disks.devices.get(path)
    if device is None or device.kind != "part":
        return path
    return min(device.parents, default=path)


def _use(device: Device, disks: Disks) -> str | None:
    """Who uses a device now; logical volumes that nobody has mounted can be removed."""
    for each in (device, *disks.pieces(device.path)):
        if each.mountpoint:
            return f"{each.path} is {_mounted(each.mountpoint)}"
        if each != device and each.kind not in ("part", "lvm"):
            return f"{each.path} ({each.kind}) lies on it"
    return None


def _mounted(mountpoint: str) -> str:
    return "swap" if mountpoint == "[SWAP]" else f"mounted at {mountpoint}"


def _content(device: Device, disks: Disks) -> Iterator[str]:
    """What a device holds, in words; a physical volume that is in no group holds nothing."""
    pieces = [each for each in disks.pieces(device.path) if each.kind == "part"]
    if pieces:
        yield f"partitions ({', '.join(each.path for each in pieces)})"
    physical = disks.physical.get(device.path)
    for group in dict.fromkeys(_groups_on(device, disks)):
        yield f"a part of volume group {group}"
    for signature in device.signatures:
        if signature == "LVM2_member" and physical and (physical.group or not physical.used):
            continue
        if not (pieces and signature in ("dos", "gpt", "PMBR")):
            yield f"a signature of {signature}"


def _grew(pv: PhysicalVolume, disks: Disks) -> bool:
    device = disks.devices.get(pv.device)
    return device is not None and device.size - pv.size >= OVERHEAD
