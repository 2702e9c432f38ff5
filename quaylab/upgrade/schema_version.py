"""The version of the database's schema, and the upgrades that are possible from it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from quaylab.model import ManagedFile
from quaylab.paths import SCHEMA_NOTE
from quaylab.settings.loading import Settings
from quaylab.topology import Topology
from quaylab.versions import is_version, parse, quay_version

RESTORING = "restoring "
MIGRATING = "migrating "
# What stands for a dump in the note if the database runs elsewhere.
BACKUP = "a backup"
# Upstream supports upgrades over at most three minor versions.
MAX_MINOR_STEPS = 3


def note(schema: str) -> ManagedFile:
    """Return the note of the schema, which every Quay host has."""
    return ManagedFile(SCHEMA_NOTE, f"{schema}\n")


def restoring_note(dump: str) -> str:
    """Return the note's text during a restore, when the database has no definite version."""
    return f"{RESTORING}{dump}"


def dump_being_restored(schema: str | None) -> str | None:
    """Return the dump whose restore a note says has begun; None: none, or a backup elsewhere."""
    name = schema.removeprefix(RESTORING) if schema and schema.startswith(RESTORING) else None
    return None if name == BACKUP else name


def migrating_note(before: str, after: str) -> str:
    """Return the note's text during a migration, which may change rows and tables before the
    schema's revision says so."""
    return f"{MIGRATING}{before} to {after}"


def unfinished_migration(schema: str | None) -> tuple[str, str] | None:
    """Return the versions before and after a migration that a note says has begun; None: none."""
    before, _, after = (schema or "").removeprefix(MIGRATING).partition(" to ")
    begun = schema == migrating_note(before, after) and is_version(before) and is_version(after)
    return (before, after) if begun else None


def latest(notes: Iterable[str | None]) -> str | None:
    """Return what holds of several hosts' notes; None without any.

    A host that took no part in an upgrade has an older note. A restore is noted on all of them, a
    migration on those that take part; it has ended if any host has its version or a newer one.
    """
    known = [each for each in notes if each]
    newest = max(filter(is_version, known), key=parse, default=None)
    for each in known:
        migration = unfinished_migration(each)
        has_ended = migration and newest and parse(newest) >= parse(migration[1])
        if not (is_version(each) or has_ended):
            return each
    return newest


def problems(
    settings: Settings,
    topology: Topology,
    schema: str | None,
    connected: Container[str],
    restore: str = "tasks/restore_database.py",
) -> Iterator[str]:
    """Yield why the database can't be migrated from its schema to the wanted version.

    Args:
        schema: the hosts' note; None if there is none.
        connected: the hosts that this run works on.
        restore: the task that restores a dump.
    """
    version = quay_version(settings)
    if schema is None or schema == version:
        return
    if schema.startswith(RESTORING):
        yield (
            f"restore: restoring {schema.removeprefix(RESTORING)} has begun and not ended; run "
            f"{restore} again, or keep the present database: "
            "docs/upgrade.md#keeping-the-present-database"
        )
        return
    if migration := unfinished_migration(schema):
        schema, after = migration
        if version != after:
            yield (
                f"quay_version: the database's migration from {schema} to {after} has begun and "
                f"not ended, so its schema is of neither; deploy {after}, which finishes it, or "
                f"restore the dump that was made before: {restore}"
            )
            return
    if not is_version(schema):
        yield (
            f"{SCHEMA_NOTE}: holds {schema!r} on {' or '.join(topology.quay)}, which is not a "
            "version; write the one into it whose schema the database has"
        )
        return
    step = list(_step_problems(schema, version, restore))
    yield from step
    if step:
        return
    database = topology.database
    if database.is_elsewhere and settings.database_backup != schema:
        yield (
            f"database_backup: an upgrade from {schema} to {version} changes the database at "
            f"{database.address}, which runs elsewhere and is not dumped by Quaylab; make a backup "
            f"with its provider's tools, then set database_backup to {schema}"
        )
    if database.hosts and not any(host in connected for host in database.hosts):
        yield (
            f"quay_version: an upgrade from {schema} to {version} dumps the database first, and "
            f"its host {', '.join(database.hosts)} takes no part in this run; leave out --limit "
            "and --exclude"
        )


def _step_problems(before: str, after: str, restore: str) -> Iterator[str]:
    old, new = parse(before), parse(after)
    if new < old:
        yield (
            f"quay_version: the database has the schema of {before}, and Quay knows no way back to "
            f"{after}; set {before}, or restore the dump that was made before the upgrade: "
            f"{restore}"
        )
    elif new[0] != old[0]:
        yield (
            f"quay_version: there is no upgrade from {before} to {after} by Quaylab; set {before}, "
            "or set up a new registry and copy the images"
        )
    elif new[1] - old[1] > MAX_MINOR_STEPS:
        yield (
            f"quay_version: {after} is {new[1] - old[1]} minor versions after the database's "
            f"{before}, and Quay upgrades over {MAX_MINOR_STEPS} at most; set a version of "
            f"v{old[0]}.{old[1] + MAX_MINOR_STEPS} first"
        )
