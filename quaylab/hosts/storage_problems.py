"""Problems with the disks of a host, found before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from quaylab.engines import PODMAN
from quaylab.engines.daemon_settings import driver_problem
from quaylab.hosts.disks import Device, Disks
from quaylab.hosts.machine import Machine
from quaylab.hosts.storage import QUOTAS, Storage, is_ours, members_on


def problems(
    name: str, machine: Machine, disks: Disks, storages: Sequence[Storage]
) -> Iterator[str]:
    """Yield why a host's storages can't be made, each by its setting."""
    yield from _duplicates(name, disks, storages)
    for storage in storages:
        key = storage.setting
        if storage.path is None and machine.container_engine == PODMAN.name:
            yield (
                f"{key}: {name} uses Podman, for which Quaylab prepares no disk; mount one at "
                f"{PODMAN.root} yourself, and leave this setting out"
            )
        for device in storage.devices:
            yield from _unknown(f"{key}.devices: {device}", name, disks, device)
        yield from _taken(name, disks, storage)
        for problem in _group_problems(name, disks, storage):
            yield f"{key}.{problem}"
        for problem in _mount_problems(name, machine, disks, storage):
            yield f"{key}: {problem}"
        sets_driver = storage.path is None and not machine.is_rhel_7
        if sets_driver and (reason := driver_problem(disks.daemon)):
            yield f"{key}: /etc/docker/daemon.json of {name} {reason}"


def _duplicates(name: str, disks: Disks, storages: Sequence[Storage]) -> Iterator[str]:
    """Yield disks and volume groups that are used twice."""
    entries = [
        (f"{storage.setting}.devices", device, found[0])
        for storage in storages
        for device in storage.devices
        if len(found := disks.find(device)) == 1
    ]
    for at, (key, device, disk) in enumerate(entries):
        for other_key, other, earlier in entries[:at]:
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
    found = disks.find(device)
    if not found:
        known = ", ".join(_title(each) for each in disks.devices.values() if each.kind == "disk")
        yield f"{key} is not a disk of {name}; it has: {known or 'none'}"
    elif len(found) > 1:
        paths = ", ".join(each.path for each in found)
        yield f"{key} is the serial number of {paths} on {name}; name a path"


def _title(device: Device) -> str:
    size = f"{device.size / 1024**3:.1f} GiB"
    return f"{device.path} ({size}{', serial ' + device.serial if device.serial else ''})"


def _taken(name: str, disks: Disks, storage: Storage) -> Iterator[str]:
    """Yield disks that are in use, or hold data that may not be destroyed."""
    key = f"{storage.setting}.devices"
    listed = {found[0].path for found in map(disks.find, storage.devices) if found}
    ours = is_ours(storage, disks)
    for path in sorted(listed):
        device = disks.devices[path]
        if ours and members_on(device, storage, disks):
            continue
        if device.kind == "lvm":
            yield (
                f"{key}: {path} of {name} is a logical volume, on which LVM makes no volume group; "
                "name a disk or a partition, or mount the volume yourself"
            )
            continue
        if used := disks.use(device):
            yield f"{key}: {path} of {name} is in use: {used}; name another, or free it first"
            continue
        if hidden := disks.unseen_physical_volume(device):
            yield (
                f"{key}: {hidden} of {name} is a physical volume that `pvs` doesn't show, so its "
                "owner is unknown; see lvmdevices (vgimportdevices --all makes LVM see it), or "
                "wipe it yourself"
            )
            continue
        content = ", ".join(disks.content(device))
        if content and not storage.wipe:
            yield (
                f"{key}: {path} of {name} holds {content}; name another, or set wipe to True "
                f"in {storage.setting}, which destroys that"
            )
        elif content:
            for group in disks.groups_on(device):
                rest = [pv.device for pv in disks.members(group)]
                outside = [each for each in rest if disks.disk_of(each) not in listed]
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
    listed = {found[0].path for found in map(disks.find, storage.devices) if found}
    members = disks.members(group.name)
    unnamed = [pv.device for pv in members if not listed & {pv.device, disks.disk_of(pv.device)}]
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
    block_device = disks.devices.get(volume.device) if volume else None
    if block_device and block_device.filesystem not in ("", "xfs"):
        yield (
            f"volume_group: {storage.volume_path} on {name} holds {block_device.filesystem}, not "
            "xfs; take another name"
        )


def _mount_problems(name: str, machine: Machine, disks: Disks, storage: Storage) -> Iterator[str]:
    point = storage.mount_point(disks)
    volume = disks.volume(storage.volume_group, storage.volume)
    device = volume.device if volume else None
    block_device = disks.devices.get(device or "")
    ours = {storage.volume_path, *_names(disks, device)}
    if block_device:
        ours.add(f"UUID={block_device.uuid}")
    for line in disks.fstab:
        if line.target == point and line.source not in ours:
            yield f"/etc/fstab of {name} mounts {line.source} at {point}; remove that line"
    mount = disks.mount_at(point)
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
        yield from _hidden_data(name, machine, disks, storage)
        for other in disks.mounts:
            if other.device == device and not _within(other.target, disks.root):
                yield f"{storage.volume_path} on {name} is mounted at {other.target}; unmount it"


def _hidden_data(name: str, machine: Machine, disks: Disks, storage: Storage) -> Iterator[str]:
    """Yield data that a mount would hide, and other obstacles to it."""
    point = storage.mount_point(disks)
    if storage.path is None:
        if disks.data:
            yield (
                f"the engine of {name} has data already ({disks.data}), which a mount at {point} "
                "would hide; save what is needed and remove the rest (docker system prune "
                f"--all --volumes), or stop the engine and move {point} away"
            )
        elif disks.running and not machine.systemd:
            yield f"dockerd runs on {name}, and Quaylab can't stop it without systemd: stop it"
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
