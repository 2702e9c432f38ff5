"""Dumps of Quay's database: taken and checked before a migration, restored on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable
from dataclasses import replace
from datetime import datetime, timezone

from pyinfra import host, inventory
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.context import ctx_host

from facts.dumps import Dumps
from facts.engines import host_engine
from operations.hosts import files
from operations.runtime.commands import fail, refusals
from operations.runtime.observation import ask
from operations.runtime.phases import postpone
from operations.services import patroni
from quaylab.checks import host_reports, ownership
from quaylab.model import ManagedFile
from quaylab.next_command import next_command
from quaylab.paths import SCHEMA_NOTE, VAR
from quaylab.plan import Plan, foreign_data
from quaylab.problems import refuse
from quaylab.upgrade import dumps, schema_version
from quaylab.upgrade.dumps import DIRECTORY, LOCK, REPLACED, SCRATCH, Dump, DumpsState, Upgrade
from quaylab.versions import is_version

RESTORE = "tasks/restore_database.py"
# The path of the engine's script on the host. Bash in the container gets the script as an argument,
# because its standard input is the dump.
SCRIPT = f"{VAR}/database.bash"
# Only root may read a dump. A command that a killed run has left holds the lock until it ends.
LOCKED = (
    f"set -e; umask 077; install -d -m 0700 {DIRECTORY}; cd {DIRECTORY}; exec 9>{LOCK}; flock 9;"
)
# Prints the number of tables, and of their rows, in a file with a line for each table.
COUNT = """awk '{ rows += $NF } END { printf "%d %.0f", NR, rows }'"""


@operation()
def taken(plan: Plan) -> Generator[StringCommand]:
    """Dump the database before its schema changes, and check the dump by restoring it.

    + plan: the run's plan

    Tasks call it on every host, so that the migration on one host waits for the dump on another.
    A dump that a killed run took and checked is used again, on whichever host it is. Once the
    migration has begun, no other one is made.
    """
    if not plan.migrates:
        host.noop("the schema stays as it is")
        return
    leader = patroni.leader(plan)
    if plan.topology.database_members and leader is None:
        if not postpone("asked when the run has brought the database up"):
            yield fail("no host that takes part leads the database, so it can't be dumped")
        return
    if host.name != leader:
        host.noop(f"the database is not on {host.name}")
        return
    found = _read(plan)
    if found.size is None:
        if not postpone("asked when the run has brought the database up"):
            yield fail("the database does not answer, so it can't be dumped")
        return
    if found.revision is None:
        host.noop("the database is empty")
        return
    upgrade = plan.upgrade
    states = reported(plan)
    if checked := _existing(upgrade, states.values()):
        host.noop(f"dumped and checked: {checked}")
        return
    if upgrade.has_begun:
        host.noop(f"the migration from {upgrade.before} has begun, and its dump is not here")
        return
    yield from _make(plan, found, upgrade)


@operation(is_idempotent=False)
def made(plan: Plan) -> Generator[StringCommand]:
    """Dump the database as it is now, and check the dump by restoring it beside the database.

    + plan: the run's plan
    """
    place = patroni.leader(plan)
    if host.name != place:
        host.noop(f"the database is not on {host.name}")
        return
    found = _read(plan)
    if found.revision is None:
        yield fail("the database does not answer, or is empty, so it can't be dumped")
        return
    schema = plan.schema
    assert schema is not None  # else it was refused
    if any(each.is_before_unfinished_upgrade(schema, found.revision) for each in found.dumps):
        yield fail(
            f"an upgrade from {schema} has begun to change the schema, so the dump's version "
            "would be unknown; deploy it to its end, or restore the dump from before it"
        )
        return
    yield from _make(plan, found, replace(plan.upgrade, before=schema, after=schema))


def refuse_unfit(plan: Plan) -> None:
    """Refuse to dump a database that isn't ours, or is none at the moment.

    Raises ``DeployError`` with the reason.
    """
    with refusals():
        if plan.topology.database.is_elsewhere:
            refuse(["database_host: it runs elsewhere; dump it with its provider's tools"])
        if patroni.leader(plan) is None:
            refuse(["database: no host that takes part has it, or leads it; nothing was dumped"])
        if plan.schema is None:
            refuse(
                [
                    f"quay: no host that takes part has a version in {SCHEMA_NOTE}, so the "
                    "dump's version would be unknown; leave out --limit and --exclude"
                ]
            )
        elif not is_version(plan.schema):
            refuse(
                [f"database: its schema is {plan.schema!r}, so the dump's version would be unknown"]
            )
        refuse(
            problem
            for name, machine in plan.engine_machines.items()
            for problem in ownership.problems(name, machine, plan.credentials, plan.store)
        )


def _make(plan: Plan, found: DumpsState, upgrade: Upgrade) -> Generator[StringCommand]:
    others = reported(plan).values()
    if problem := found.space_problem(upgrade.engine, others):
        yield fail(problem)
        return
    name = upgrade.name(found.now)
    yield _write_script(plan)
    yield _clean_up(plan)
    yield StringCommand(
        LOCKED, _run_script(plan, "dump", plan.settings.database_name),
        f">{name}.dump.new 2>{name}.rows.new || {{ cat {name}.rows.new >&2; exit 1; }}",
    )  # fmt: skip
    yield _check(plan, name)
    yield _record(found, upgrade, name)
    yield _clean_up(plan)


@operation(is_idempotent=False)
def intact(place: str | None, dump: Dump | None) -> Generator[StringCommand]:
    """Verify a dump's checksum, before anything is stopped for it.

    + place: the dump's host
    + dump: the dump; None for a database elsewhere

    Tasks call it on every host, like `taken`.
    """
    if dump is None or host.name != place:
        host.noop(f"no dump on {host.name}")
        return
    damaged = (
        f"restore: {dump.file} in {DIRECTORY} is damaged; nothing was changed, name another dump"
    )
    yield StringCommand(
        LOCKED, f"echo '{dump.sha256}  {dump.file}' | sha256sum --check --status || {{",
        fail(damaged), "; }",
    )  # fmt: skip


@operation(is_idempotent=False)
def restored(plan: Plan, place: str | None, dump: Dump | None) -> Generator[StringCommand]:
    """Replace the database's content, which is lost, by a dump's.

    + plan: the run's plan
    + place: the dump's host, which has the database or leads it
    + dump: the dump, which belongs to the plan's credentials; None for a database elsewhere

    Tasks call it on every host, like `taken`. The dump is loaded beside the database, which stays
    until the last step.
    """
    if dump is None or host.name != place:
        host.noop(f"no database to restore on {host.name}")
        return
    name = plan.settings.database_name
    yield _write_script(plan)
    yield _clean_up(plan)
    yield StringCommand(LOCKED, _load(plan), f"<{dump.file}")
    yield StringCommand(
        LOCKED, _run_script(plan, "rows", SCRATCH), ">restored.new;",
        f"test \"$({COUNT} restored.new)\" = '{dump.tables} {dump.rows}' || {{",
        fail(f"restore: {dump.name} does not restore to the tables and rows that it was made of"),
        "; }",
    )  # fmt: skip
    yield StringCommand(LOCKED, _run_script(plan, "swap", SCRATCH, name, REPLACED))
    yield _clean_up(plan)


def restored_message(plan: Plan, version: str | None) -> str:
    """Say what is left to do after a database of this version was restored; None: it is unknown."""
    if plan.topology.database.is_elsewhere:
        return f"Quay is stopped. Restore your own backup of {version} now."
    return f"The database has the schema of {version or 'the dump'}; Quay is stopped."


def choose_dump(plan: Plan) -> tuple[str | None, Dump | None]:
    """Return the dump to restore and its host; None for a database that is restored elsewhere.

    Raises ``DeployError`` if there is no dump, or if it belongs to another engine or to other
    credentials.
    """
    topology, settings = plan.topology, plan.settings
    needed = {*topology.quay, *topology.database.hosts}
    with refusals():
        refuse(host_reports.absent_problems("restore", sorted(needed), plan.machines))
        refuse(foreign_data(plan))
        if topology.database.is_elsewhere:
            if settings.restore is not None:
                refuse(
                    [
                        "restore: names a dump, and the database runs elsewhere, where this task "
                        "restores none; leave it out, and set database_backup to the version of "
                        "your own backup"
                    ]
                )
            if settings.database_backup is None:
                refuse(
                    [
                        "database_backup: the database runs elsewhere; set it to the version that "
                        "your own backup is of, which you will restore with its provider's tools"
                    ]
                )
            return None, None
        credentials, path = plan.credentials.fingerprint, str(plan.store.path)
        states = reported(plan)
        places = {dump: name for name, state in states.items() for dump in state.dumps}
        # By default the one that a killed restore has begun with.
        name = settings.restore or schema_version.dump_being_restored(plan.schema)
        chosen = dumps.choose([*places], name, settings.database_engine, credentials, path)
        # What a killed restore has loaded goes first, and Quay is stopped already.
        if schema_version.dump_being_restored(plan.schema) != chosen.name:
            refuse(filter(None, [dumps.restore_space_problem(chosen, states.values())]))
        return places[chosen], chosen


def reported(plan: Plan) -> dict[str, DumpsState]:
    """Return what each connected host of the database reports, whichever host is current."""
    found = {}
    for name in plan.connected(plan.topology.database.hosts):
        with ctx_host.use(inventory.get_host(name)):
            found[name] = _read(plan)
    return found


def restore_command(plan: Plan) -> str:
    """Return the command that undoes the plan's upgrade."""
    if plan.topology.database.is_elsewhere:
        return next_command(sys.argv[1:], RESTORE, database_backup=plan.upgrade.before or "VERSION")
    # At any age: the migration has begun meanwhile.
    dump = _existing(replace(plan.upgrade, has_begun=True), reported(plan).values())
    return next_command(sys.argv[1:], RESTORE, restore=dump.name if dump else "NAME")


def _existing(upgrade: Upgrade, states: Iterable[DumpsState]) -> Dump | None:
    """Return the newest dump for an upgrade that can be used, on any host."""
    found = filter(None, map(upgrade.existing_dump, states))
    return next(iter(dumps.newest_first(found)), None)


def _read(plan: Plan) -> DumpsState:
    database = plan.workload("database", host.name)
    assert database.volume is not None
    found: DumpsState = ask(
        Dumps,
        container=database.container.name,
        engine=plan.settings.database_engine,
        database=plan.settings.database_name,
        data=next(
            mount.target
            for mount in database.container.mounts
            if mount.source == database.volume.name
        ),
    )
    return found


def _run_script(plan: Plan, *words: str) -> StringCommand:
    """Return a command that runs the engine's script in the database's container."""
    # Interactive only where a file is given: else it would read the terminal of a local run.
    container = plan.workload("database", host.name).container.name
    script, reads = f'"$(cat {SCRIPT})"', words[0] == "load"
    return StringCommand(
        host_engine().execute_bash(container, script, "quaylab", *words, interactive=reads)
    )


def _write_script(plan: Plan) -> StringCommand:
    return files.write(ManagedFile(SCRIPT, dumps.script(plan.settings.database_engine)))


def _load(plan: Plan, *use: str) -> StringCommand:
    user, name = plan.settings.database_user, plan.settings.database_name
    return _run_script(plan, "load", SCRATCH, user, name, *use)


def _clean_up(plan: Plan) -> StringCommand:
    """Remove what a killed run left: the scratch database, and dumps that weren't checked. What
    has the name of a dump stays: an operator may have brought it."""
    return StringCommand(
        LOCKED, "rm -f ./*.new;",
        _run_script(plan, "drop", SCRATCH, REPLACED),
    )  # fmt: skip


def _check(plan: Plan, name: str) -> StringCommand:
    """Restore a dump into the scratch database; compare tables and rows with what was dumped."""
    wrong = f"the dump {name} does not restore to what was dumped; the schema was not touched"
    return StringCommand(
        LOCKED, _load(plan, "temporary"), f"<{name}.dump.new;",
        _run_script(plan, "rows", SCRATCH), f">{name}.found.new;",
        f"sort -o {name}.found.new {name}.found.new;",
        f"grep '^rows ' {name}.rows.new | sort | diff - {name}.found.new >&2 || {{",
        fail(wrong), "; }",
    )  # fmt: skip


def _record(found: DumpsState, upgrade: Upgrade, name: str) -> StringCommand:
    """Write the JSON file that says a dump was checked. It does not count without the dump, nor the
    dump without it; it comes first, so that nothing with the name of a dump is ever left over."""
    record = {
        "before": upgrade.before,
        "after": upgrade.after,
        "engine": upgrade.engine,
        "credentials": upgrade.credentials,
        "revision": found.revision,
        "time": datetime.fromtimestamp(found.now, timezone.utc).isoformat(),
        "database_size": found.size,
    }
    return StringCommand(
        LOCKED, "printf",
        QuoteString('%s, "tables": %d, "rows": %d, "size": %d, "sha256": "%s"}\\n'),
        QuoteString(json.dumps(record)[:-1]),
        f"$({COUNT} {name}.found.new)",
        f'"$(stat -c %s {name}.dump.new)" "$(sha256sum <{name}.dump.new | cut -d" " -f1)"',
        f">{name}.json.new; sync; mv {name}.json.new {name}.json; mv {name}.dump.new {name}.dump",
    )  # fmt: skip
