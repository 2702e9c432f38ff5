"""The data and images of a host, from one container engine to the other."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from quaylab.checks import existing_data
from quaylab.checks.fetched_images import note_path
from quaylab.engines import BY_NAME, PODMAN, ContainerEngine
from quaylab.engines.state import FoundVolume
from quaylab.hosts.machine import Machine
from quaylab.model import CREDENTIALS_LABEL, Volume
from quaylab.paths import VAR
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.services.ceph import runs_cephadm

# The lists that a copy is compared by; the newest stay there until the data is moved.
FOLDER = f"{VAR}/engine-copy"
# Copies a volume, unless an earlier run has copied it, and compares the two: kinds, names, modes,
# owners, sizes, times and links of everything in them, then the sha256 of each file's content.
# SELinux' labels, which cp would keep, are those of the new place: another engine's containers may
# not write to what has the old ones. cp clones the blocks where the file system can.
_COPY = """\
from=$({before}) && to=$({after}) && test -d "$from" && test -d "$to" && mkdir -p {work} || exit 1
entries() {{
    find . -type d -printf '%P %m %U:%G %T@\\n' -o -printf '%P %y %m %U:%G %s %T@ %l\\n' |
        LC_ALL=C sort
}}
contents() {{ find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum; }}
alike() {{
    (cd "$from" && $1 >{work}/from) && (cd "$to" && $1 >{work}/to) &&
        cmp -s {work}/from {work}/to
}}
equal() {{ alike entries && alike contents; }}
if ! equal; then
    find "$to" -mindepth 1 -delete &&
        cp --archive --preserve=xattr --reflink=auto "$from/." "$to" && sync || exit 1
    equal || {{ diff {work}/from {work}/to 2>&1 | head -n 5 >&2; exit 1; }}
fi
! selinuxenabled 2>/dev/null || restorecon -RF "$to"
"""
# Hands over an image, and adds its identity there to the note of its identity: an engine may count
# another digest than the other one does.
_HAND_OVER = """\
identities() {{
{identities}
}}
{hand} && found=$(identities {name}) || exit 1
case " $(cat {note} 2>/dev/null) " in
*" ${{found%% *}} "*) ;;
*) printf '%s %s\\n' "$(cat {note} 2>/dev/null)" "$found" >{note}.new && mv -f {note}.new {note} ;;
esac"""


def target(plan: Plan) -> ContainerEngine:
    """Return the engine to move to."""
    assert plan.settings.container_engine  # else the run was refused
    return BY_NAME[plan.settings.container_engine]


def is_moved(plan: Plan, host: str) -> bool:
    """Whether a connected host had nothing to move when the run began."""
    return plan.engine_of(host) is target(plan)


def volumes(plan: Plan, host: str) -> dict[str, Volume]:
    """Return the volumes of this registry that a connected host has, with all their labels."""
    found = plan.machines[host].owned_volumes(plan.credentials.fingerprint)
    return {each.name: _volume(each) for each in found}


def _volume(found: FoundVolume) -> Volume:
    path = str(PurePosixPath(found.device).parent) if found.device else None
    return Volume("", found.name, path, 0, found.labels, "", "")


def copied_volume(before: ContainerEngine, after: ContainerEngine, name: str) -> str:
    """Return the command that copies a volume of one engine into another's, and compares them."""
    return _COPY.format(before=before.mountpoint(name), after=after.mountpoint(name), work=FOLDER)


def copied_image(before: ContainerEngine, after: ContainerEngine, image: str) -> str:
    """Return the command that gives an image of one engine to another."""
    return _HAND_OVER.format(
        identities=after.identities,
        hand=before.hand_image(image, after),
        name=shlex.quote(image),
        note=note_path(image),
    )


def refuse_unfit(plan: Plan, sizes: Mapping[str, tuple[int, int]]) -> None:
    """Stop if the data of a host can't be moved.

    Args:
        sizes: for each host with data to move the kB of its volumes, and those of their copies.

    Raises:
        Refusal: with all problems.
    """
    refuse(problem for name in plan.engine_machines for problem in _problems(plan, name, sizes))


def _problems(plan: Plan, name: str, sizes: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    if is_moved(plan, name):
        return
    machine, after = plan.machines[name], target(plan)
    if plan.migrates and name == plan.topology.first_quay:
        yield (
            f"quay_version: {plan.version}, and the database's schema is of "
            f"{plan.upgrade.before or 'no version'}; deploy with {plan.engine_of(name).title} first"
        )
    if runs_cephadm(plan.topology, name):
        yield (
            f"ceph: the daemons on {name} are cephadm's own containers, which are not moved; leave "
            f"its container_engine at {machine.container_engine}"
        )
    storages = [each.setting for each in plan.storages.get(name, ()) if each.path is None]
    if after is PODMAN and storages:
        yield (
            f"{storages[0]}: its disk of {name} is Docker's, and Quaylab prepares none for Podman; "
            f"mount one at {PODMAN.root} yourself, and leave this setting out"
        )
    there = machine.using(after.name)
    yield from existing_data.container_problems(name, there, plan.workloads_of(name))
    copied = volumes(plan, name)
    for found in machine.volumes:
        if found.name in copied and found.missing:
            yield (
                f"{name}: the directory of volume {found.name} is gone, so there is nothing to "
                "move; mount its disk, or put its data back from a backup, or, if you don't need "
                f"it: {plan.engine_of(name).remove_volume_command(found.name)}"
            )
    for volume in there.volumes:
        if volume.name in copied and CREDENTIALS_LABEL not in volume.labels:
            yield (
                f"{name}: {after.title} has a volume {volume.name} that Quaylab has not made; copy "
                f"what is needed, then run there: {after.remove_volume_command(volume.name)}"
            )
    yield from _space_problems(plan, name, there, sizes.get(name, (0, 0)))


def _space_problems(plan: Plan, name: str, there: Machine, sizes: tuple[int, int]) -> Iterator[str]:
    root = (there.engine and there.engine.root_directory) or target(plan).root
    mount = there.mount_of(root)
    volumes_kb, copied_kb = sizes
    copy, images = max(0, volumes_kb - copied_kb) // 1024, plan.settings.minimum_disk_mb
    if mount and there.free_mb[mount] < copy + images:
        yield (
            f"minimum_disk_mb: {name} has {there.free_mb[mount]} MB free on {mount}, and "
            f"{target(plan).title} needs {copy} MB there for the copy of its volumes and {images} "
            "MB for images; make room, mount a larger disk, or set minimum_disk_mb lower"
        )
