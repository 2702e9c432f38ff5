"""Teardown of a virtual lab: remove its VMs, networks and pools, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from pyinfra import host, inventory, logger
from pyinfra.api import FunctionCommand, QuoteString, StringCommand, operation
from pyinfra.api.exceptions import DeployError

from operations.virtual.hypervisor import is_silent, no_answer, owner_problems, report, virsh
from quaylab.secrets.credentials import Store
from quaylab.virtual import changes, found
from quaylab.virtual.lab import SEEDS, Lab


def check_owner(lab: Lab) -> None:
    """Refuse a lab of this name that was not made from this folder.

    Raises ``DeployError`` with the reason.
    """
    if problems := owner_problems(lab, report(lab)):
        raise DeployError("\n".join(problems))


@operation()
def machines(lab: Lab) -> Generator[StringCommand]:
    """Remove the lab's VMs with their disks and seeds. Base images stay.

    + lab: the virtual lab; VMs that it no longer names are removed as well
    """
    hypervisor = report(lab)
    if is_silent(hypervisor):
        yield no_answer()
        return
    ours = changes.lab_objects(lab, "domain", hypervisor.domains)
    for name, existing in ours.items():
        if existing.active:
            yield virsh("destroy", name)
        paths = dict.fromkeys(found.disks_made_for(name, existing.xml))
        # Under a snapshot a disk is no longer named, and the next VM would start from it.
        if machine := lab.machines.get(name):
            own = (machine.root, *(disk.path for disk in machine.disks))
            paths |= dict.fromkeys(path for path in own if path in hypervisor.existing_paths)
        for path in paths:
            yield _remove_disk(path)
        disks = found.domain(existing.xml).disks.values()
        if staying := [path for path in disks if path not in paths]:
            logger.warning(f"{name}: {', '.join(staying)} is not of this lab's making, and stays")
        yield StringCommand("rm -rf", QuoteString(f"{SEEDS}/{name}"))
        # Last, because the domain proves that the rest is ours.
        yield virsh("undefine --managed-save --snapshots-metadata", name)
    # Without a domain, the seed's directory proves that a VM is ours: it is created first. A disk
    # of the same name alone may be somebody else's.
    left = [
        machine
        for machine in lab.machines.values()
        if machine.directory in hypervisor.existing_paths and machine.name not in hypervisor.domains
    ]
    for machine in left:
        for path in (machine.root, machine.seed, *(disk.path for disk in machine.disks)):
            if path in hypervisor.existing_paths:
                yield _remove_disk(path)
        yield StringCommand("rm -rf", QuoteString(machine.directory))
    if not (ours or left):
        host.noop("no VM of this lab is there")


def _remove_disk(path: str) -> StringCommand:
    if path.startswith("/dev/"):
        quoted = QuoteString(path)
        return StringCommand("test ! -e", quoted, "|| lvremove --quiet --yes", quoted, ">/dev/null")
    return StringCommand("rm -f", QuoteString(path))


@operation()
def networks(lab: Lab) -> Generator[StringCommand]:
    """Remove the lab's networks.

    + lab: the virtual lab
    """
    hypervisor = report(lab)
    if is_silent(hypervisor):
        yield no_answer()
        return
    ours = changes.lab_objects(lab, "network", hypervisor.networks)
    for name, existing in ours.items():
        if existing.active:
            yield virsh("net-destroy", name)
        yield virsh("net-undefine", name)
    if not ours:
        host.noop("no network of this lab is there")


@operation()
def pools(lab: Lab) -> Generator[StringCommand]:
    """Remove the lab's pools, with a volume group that it made or a directory that is empty.

    A pool of a volume group that was there before stays, and is no longer started at boot: libvirt
    would deactivate the group with all its volumes, also those of others.

    + lab: the virtual lab
    """
    hypervisor = report(lab)
    if is_silent(hypervisor):
        yield no_answer()
        return
    ours = changes.lab_objects(lab, "pool", hypervisor.pools)
    for name, existing in ours.items():
        pool = found.pool(existing.xml)
        if pool["type"] == "logical" and hypervisor.volume_groups.get(name) is False:
            if existing.autostart:
                yield virsh("pool-autostart", name, "--disable")
            continue
        if existing.active:
            yield virsh("pool-destroy", name)
        if pool["type"] == "dir":
            path = QuoteString(pool["path"])
            yield StringCommand("test ! -d", path, "|| rmdir --ignore-fail-on-non-empty", path)
        elif hypervisor.volume_groups.get(name):
            yield _remove_group(name)
        yield virsh("pool-undefine", name)
    if not ours:
        host.noop("no pool of this lab is there")


def _remove_group(name: str) -> StringCommand:
    """Return a command that removes our volume group, unless it has volumes of others."""
    return StringCommand(
        f"count=$(vgs --noheadings --options lv_count {name} | tr -d ' ');",
        'if test "$count" = 0; then',
        f"disks=$(vgs --noheadings --options pv_name {name}) &&",
        f"vgremove --quiet --yes {name} >/dev/null && pvremove --quiet --yes $disks >/dev/null;",
        f"else echo 'the volume group {name} has volumes of others, and stays' >&2; fi",
    )


@operation()
def credentials(lab: Lab) -> Generator[FunctionCommand]:
    """Remove the credentials and host keys of a registry that is gone.

    + lab: the virtual lab
    """
    store, keys = Store(lab.settings.lab_name), Path(lab.known_hosts)
    databases = [each.name for each in inventory if "database" in each.groups]
    outside = [each for each in databases if each not in lab.machines]
    if lab.settings.database_host or outside:
        host.noop(f"{store.path} stays: the database outside of the VMs is encrypted with its key")
    elif store.exists or keys.exists():
        yield FunctionCommand(_remove_credentials, (store, keys), {})
    else:
        host.noop(f"{store.path} is not there")


def _remove_credentials(store: Store, keys: Path) -> bool:
    store.remove()
    keys.unlink(missing_ok=True)
    return True
