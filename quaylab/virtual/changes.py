"""Differences between the lab and the hypervisor: those that a run refuses, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quaylab.virtual import found, xml
from quaylab.virtual.found import Hypervisor, Object
from quaylab.virtual.lab import GB, Lab, Machine

# A physical volume in no group, as a killed vgcreate leaves it, counts as empty.
EMPTY = "LVM2_member"


def paths(lab: Lab) -> list[str]:
    """Return the files and volumes that a report must include."""
    machines = lab.machines.values()
    images = [path for each in machines for path in (each.image.path, local_path(each.image.uri))]
    disks = [disk.path for each in machines for disk in each.disks]
    own = [path for each in machines for path in (each.root, each.seed, each.directory)]
    return list(dict.fromkeys(filter(None, [*images, *own, *disks])))


def devices(lab: Lab) -> list[str]:
    """Return the disks of the lab's volume groups."""
    return [pool.path for pool in lab.pools.values() if pool.type == "lvm"]


def local_path(uri: str) -> str:
    """Return the path of a file on the hypervisor; empty for one that is downloaded."""
    return uri.removeprefix("file://") if uri.startswith("file://") else ""


def refusals(lab: Lab, report: Hypervisor) -> Iterator[str]:
    """Yield why this lab can't be made on the hypervisor as it is."""
    if lab.settings.virt_type == "kvm" and lab.machines and not report.kvm:
        yield (
            f"virt_type: kvm, and {lab.hypervisor} has no /dev/kvm; switch virtualisation on in "
            "its firmware, or set virt_type=qemu, which is slow"
        )
    yield from _networks(lab, report)
    yield from _pools(lab, report)
    for machine in lab.machines.values():
        yield from _machine(lab, report, machine)


def owner_problems(lab: Lab, report: Hypervisor, known_hosts: str | None) -> Iterator[str]:
    """Yield that the lab was made from another folder, if it was: there the same ``lab_name`` gives
    the same UUIDs. The VMs' host keys were made on the hypervisor and are known where they are
    from. Before a first run has ended no key is known; then a file without any is the proof.

    Args:
        known_hosts: the content of the lab's file of host keys here; None: there is none.
    """
    machines = [
        *lab_objects(lab, "domain", report.domains),
        *(each.name for each in lab.machines.values() if each.directory in report.existing_paths),
    ]
    networks = lab_objects(lab, "network", report.networks)
    found = dict.fromkeys([*machines, *networks, *lab_objects(lab, "pool", report.pools)])
    keys = [report.host_keys[name] for name in machines if name in report.host_keys]
    if not found:
        return
    if known_hosts is None:
        reason = f"{lab.known_hosts} is not here"
    elif known_hosts.strip() and keys and not any(key in known_hosts for key in keys):
        reason = f"{lab.known_hosts} has none of its VMs' host keys"
    else:
        return
    yield (
        f"lab_name: the lab {lab.settings.lab_name} on {lab.hypervisor} ({', '.join(found)}) was "
        f"made from another folder, as {reason}; run there, or take another lab_name. If the lab "
        "is yours, restore that file from a backup or, if it is lost, make an empty one"
    )


def _foreign(lab: Lab, kind: str, existing: Object | None) -> bool:
    return existing is not None and existing.uuid != lab.uuid(kind, existing.name)


def _networks(lab: Lab, report: Hypervisor) -> Iterator[str]:
    for name, wanted in lab.networks.items():
        existing = report.networks.get(name)
        if _foreign(lab, "network", existing):
            yield (
                f"libvirt_bridges: {lab.hypervisor} has a network {name} that this lab has not "
                "made; rename yours"
            )
            continue
        for other in report.networks.values():
            bridge = found.network(other.xml)["bridge"]
            if other.name != name and bridge == wanted.bridge:
                yield (
                    f"libvirt_bridges: the bridge {bridge} of {name} is that of {other.name} on "
                    f"{lab.hypervisor}; take another"
                )
        if existing:
            yield from _network_changes(name, xml.network(lab, wanted), existing)


def _network_changes(name: str, wanted: str, existing: Object) -> Iterator[str]:
    now, expected = found.network(existing.xml), found.network(wanted)
    for key, value in expected.items():
        if now[key] != value:
            yield (
                f"libvirt_bridges: {key} of {name} is {now[key] or 'not set'}, but should be "
                f"{value or 'none'}; a network can't change under its VMs: set it back, or take "
                "the lab down and up"
            )


def _pools(lab: Lab, report: Hypervisor) -> Iterator[str]:
    for name, wanted in lab.pools.items():
        existing = report.pools.get(name)
        if _foreign(lab, "pool", existing):
            yield (
                f"libvirt_pools: {lab.hypervisor} has a pool {name} that this lab has not made; "
                "rename yours"
            )
        elif existing:
            now, expected = found.pool(existing.xml), found.pool(xml.pool(lab, name, wanted))
            for key, value in expected.items():
                if now[key] != value:
                    yield (
                        f"libvirt_pools: {key} of {name} is {now[key]}, but should be {value}; a "
                        "pool can't change under its volumes: set it back, or name a new one"
                    )
        if wanted.type == "lvm":
            yield from _device(lab, report, name, wanted.path)


def _device(lab: Lab, report: Hypervisor, name: str, path: str) -> Iterator[str]:
    device = report.devices.get(path)
    if device is None:
        yield f"libvirt_pools: {path} of {name} is not a disk of {lab.hypervisor}; lsblk lists them"
    elif device.volume_group not in (None, name):
        yield (
            f"libvirt_pools: {path} of {name} belongs to the volume group {device.volume_group}; "
            "name the pool like that, or take another disk"
        )
    elif device.volume_group is None and name in report.volume_groups:
        yield (
            f"libvirt_pools: {lab.hypervisor} has a volume group {name} on other disks than "
            f"{path}; rename yours"
        )
    elif device.volume_group is None and "used" in (device.content or "").split():
        yield (
            f"libvirt_pools: {path} of {name} is in use: it, or a part of it, is mounted or taken; "
            "take another disk, or free it first"
        )
    elif device.volume_group is None and device.content not in (None, EMPTY):
        yield (
            f"libvirt_pools: {path} of {name} holds something ({device.content.strip()}), and is "
            f"not touched; take another disk or, if that may be lost: wipefs --all {path}"
        )


def _machine(lab: Lab, report: Hypervisor, machine: Machine) -> Iterator[str]:
    existing = report.domains.get(machine.name)
    source = local_path(machine.image.uri)
    if source and source not in report.existing_paths and machine.image.path not in report.files:
        yield (f"image_uri: {machine.image.uri} of {machine.name} is not there on {lab.hypervisor}")
    if _foreign(lab, "domain", existing):
        yield (
            f"{machine.name}: {lab.hypervisor} has a VM of this name that this lab has not made; "
            "rename yours, or remove that one"
        )
        return
    for disk in machine.disks:
        file = report.files.get(disk.path)
        if file and file.size > disk.size:
            yield (
                f"resources: {disk.serial} of {machine.name} has {file.size / GB:g} GB, but should "
                f"have {disk.size / GB:g}; a disk can't shrink"
            )
    if existing:
        now = found.domain(existing.xml)
        yield from _lost_disks(lab, report, machine, now)
        yield from _changes(lab, machine, now)


def _lost_disks(lab: Lab, report: Hypervisor, machine: Machine, now: found.Domain) -> Iterator[str]:
    """Yield a VM's disks that are not on the hypervisor: a run would make empty ones. A domain is
    defined, and gets a further disk, only when its disks are there."""
    # The run starts such a pool, and then the volumes of its group are there.
    inactive = tuple(
        f"/dev/{name}/"
        for name, pool in lab.pools.items()
        if pool.type == "lvm" and not (name in report.pools and report.pools[name].active)
    )
    wanted = {"vda": machine.root, **{disk.target: disk.path for disk in machine.disks}}
    if lab.settings.reimage == machine.name:
        del wanted["vda"]
    for target, path in wanted.items():
        is_there = path in report.existing_paths or path.startswith(inactive)
        if now.disks.get(target) != path or is_there:
            continue
        remedy = (
            f"make the VM again with: --data reimage={machine.name}"
            if target == "vda"
            else "shut the VM down and remove it, so that a run makes an empty disk: virsh "
            f"undefine --managed-save --snapshots-metadata {machine.name}"
        )
        yield (
            f"{machine.name}: {path}, its disk {target}, is not on {lab.hypervisor}; mount or "
            f"restore what holds it or, if it is lost, {remedy}"
        )


def _changes(lab: Lab, machine: Machine, now: found.Domain) -> Iterator[str]:
    name = machine.name
    if now.network != machine.network:
        yield (
            f"resources: {name} is in the network {now.network}, but should be {machine.network}; "
            "a VM can't move: set it back, or take the lab down and up"
        )
    wanted = {disk.target: disk.path for disk in machine.disks}
    for target, path in now.disks.items():
        if target != "vda" and target not in wanted:
            yield (
                f"resources: {name} has another disk, {path}, which is not removed from it: put it "
                "back into the list"
            )
        elif target != "vda" and wanted[target] != path:
            yield (
                f"resources: {target} of {name} is {path}, but should be {wanted[target]}; a disk "
                "can't move to another pool: set it back"
            )
    if lab.settings.reimage == name:
        return
    remedy = f"set it back, or make the VM again with: --data reimage={name}"
    if now.image != machine.image.checksum:
        yield f"image_checksum: {name} was made from another image; {remedy}"
    if now.disks.get("vda") != machine.root:
        yield (
            f"convert_to_lv_on_vg: the root disk of {name} is {now.disks.get('vda')}, but should "
            f"be {machine.root}; {remedy}"
        )


def lab_objects(lab: Lab, kind: str, objects: Mapping[str, Object]) -> dict[str, Object]:
    """Return the objects that this lab has made, even if the inventory no longer names them."""
    return {name: each for name, each in objects.items() if not _foreign(lab, kind, each)}
