"""Removing the VMs, networks and pools that a lab made, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from pyinfra import host, inventory
from pyinfra.api import FunctionCommand, QuoteString, StringCommand, operation
from pyinfra.api.exceptions import DeployError

from operations.virtual.hypervisor import no_answer, report, silent, virsh
from quaylab.secrets.credentials import Store
from quaylab.virtual import changes, found
from quaylab.virtual.lab import SEEDS, Lab


def spare_others(lab: Lab) -> None:
    """Stop where a lab of this name is there that was not made from here.

    Raises ``DeployError`` with what is missing here.
    """
    there, store = report(lab), Store(lab.settings.lab_name)
    kinds = {"domain": there.domains, "network": there.networks, "pool": there.pools}
    ours = [
        name for kind, objects in kinds.items() for name in changes.lab_objects(lab, kind, objects)
    ]
    if ours and not (store.exists or Path(lab.known_hosts).exists()):
        raise DeployError(
            f"lab_name: the lab {lab.settings.lab_name} on {host.name} ({', '.join(ours)}) was "
            f"made from another folder, as neither {store.path} nor {lab.known_hosts} is here; run "
            "there, or restore one of them from a backup"
        )


@operation()
def machines(lab: Lab) -> Generator[StringCommand]:
    """Remove the lab's VMs with their disks and seeds. Base images stay.

    + lab: the virtual lab; VMs that it no longer names are removed as well
    """
    there = report(lab)
    if silent(there):
        yield no_answer()
        return
    ours = changes.lab_objects(lab, "domain", there.domains)
    for name, existing in ours.items():
        if existing.active:
            yield virsh("destroy", name)
        for path in found.disks_made_for(name, existing.xml):
            yield _gone(path)
        yield StringCommand("rm -rf", QuoteString(f"{SEEDS}/{name}"))
        # Last: by its domain the rest is known to be ours.
        yield virsh("undefine --managed-save --snapshots-metadata", name)
    # Without its domain a VM is known by its seed's directory, the first that is made of it: a disk
    # of the same name may be somebody else's.
    left = [
        machine
        for machine in lab.machines.values()
        if machine.directory in there.existing_paths and machine.name not in there.domains
    ]
    for machine in left:
        for path in (machine.root, machine.seed, *(disk.path for disk in machine.disks)):
            if path in there.existing_paths:
                yield _gone(path)
        yield StringCommand("rm -rf", QuoteString(machine.directory))
    if not (ours or left):
        host.noop("no VM of this lab is there")


def _gone(path: str) -> StringCommand:
    if path.startswith("/dev/"):
        quoted = QuoteString(path)
        return StringCommand("test ! -e", quoted, "|| lvremove --quiet --yes", quoted, ">/dev/null")
    return StringCommand("rm -f", QuoteString(path))


@operation()
def networks(lab: Lab) -> Generator[StringCommand]:
    """Remove the lab's networks.

    + lab: the virtual lab
    """
    there = report(lab)
    if silent(there):
        yield no_answer()
        return
    ours = changes.lab_objects(lab, "network", there.networks)
    for name, existing in ours.items():
        if existing.active:
            yield virsh("net-destroy", name)
        yield virsh("net-undefine", name)
    if not ours:
        host.noop("no network of this lab is there")


@operation()
def pools(lab: Lab) -> Generator[StringCommand]:
    """Remove the lab's pools: a volume group that it made, and a directory that is empty, too.

    + lab: the virtual lab
    """
    there = report(lab)
    if silent(there):
        yield no_answer()
        return
    ours = changes.lab_objects(lab, "pool", there.pools)
    for name, existing in ours.items():
        pool = found.pool(existing.xml)
        if existing.active:
            yield virsh("pool-destroy", name)
        if pool["type"] == "dir":
            path = QuoteString(pool["path"])
            yield StringCommand("test ! -d", path, "|| rmdir --ignore-fail-on-non-empty", path)
        elif there.volume_groups.get(name):
            yield _group_gone(name)
        yield virsh("pool-undefine", name)
    if not ours:
        host.noop("no pool of this lab is there")


def _group_gone(name: str) -> StringCommand:
    """Remove a volume group that we made, unless it holds what others have made in it."""
    return StringCommand(
        f"count=$(vgs --noheadings --options lv_count {name} | tr -d ' ');",
        'if test "$count" = 0; then',
        f"disks=$(vgs --noheadings --options pv_name {name}) &&",
        f"vgremove --quiet --yes {name} >/dev/null && pvremove --quiet --yes $disks >/dev/null;",
        f"else echo 'the volume group {name} has volumes of others, and stays' >&2; fi",
    )


@operation()
def forgotten(lab: Lab) -> Generator[FunctionCommand]:
    """Remove the credentials and host keys of a registry that is gone.

    + lab: the virtual lab
    """
    store, keys = Store(lab.settings.lab_name), Path(lab.known_hosts)
    outside = [each.name for each in inventory if "database" in each.groups]
    outside = [each for each in outside if each not in lab.machines]
    if lab.settings.database_host or outside:
        host.noop(f"{store.path} stays: the database, which is no VM's, is encrypted with its key")
    elif store.exists or keys.exists():
        yield FunctionCommand(_forget, (store, keys), {})
    else:
        host.noop(f"{store.path} is not there")


def _forget(store: Store, keys: Path) -> bool:
    store.remove()
    keys.unlink(missing_ok=True)
    return True
