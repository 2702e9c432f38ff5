"""Dumps of Quay's database: taken and checked before a migration, restored on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from datetime import datetime, timezone

from pyinfra import host, inventory
from pyinfra.api import QuoteString, StringCommand, operation
from pyinfra.context import ctx_host
from rich.console import Console

from facts.dumps import Dumps
from operations import files
from operations.commands import fail, refusals
from operations.observation import ask
from operations.phases import postpone
from quaylab.checks import host_reports
from quaylab.engines import docker
from quaylab.model import ManagedFile
from quaylab.next_command import next_command
from quaylab.paths import VAR
from quaylab.plan import Plan, foreign_data
from quaylab.problems import refuse
from quaylab.upgrade import dumps
from quaylab.upgrade.dumps import DIRECTORY, LOCK, REPLACED, SCRATCH, Dump, DumpsState, Upgrade

RESTORE = "tasks/restore_database.py"
# Where the engine's script is on the host. Bash in the container gets it as an argument: standard
# input is the dump's.
SCRIPT = f"{VAR}/database.bash"
# Only root may see what is in a dump. The lock outlives a killed run for as long as the command
# does that it left at work, and no longer.
LOCKED = (
    f"set -e; umask 077; install -d -m 0700 {DIRECTORY}; cd {DIRECTORY}; exec 9>{LOCK}; flock 9;"
)


@operation()
def taken(plan: Plan) -> Generator[StringCommand]:
    """Dump the database before its schema changes, and check the dump by restoring it.

    + plan: the run's plan

    Tasks call it on every host, so that the migration on one waits for the dump on another. What
    a killed run has dumped and checked is not dumped again.
    """
    if not plan.migrates:
        host.noop("the schema stays as it is")
        return
    if host.name != plan.topology.database.host:
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
    if there := upgrade.dump_in(found):
        host.noop(f"dumped and checked: {there}")
        return
    if problem := found.space_problem():
        yield fail(problem)
        return
    name = upgrade.name(found.now)
    yield _write_script(plan)
    yield _clear(plan)
    yield StringCommand(
        LOCKED, _engine(plan, "dump", plan.settings.database_name),
        f">{name}.dump.new 2>{name}.rows.new || {{ cat {name}.rows.new >&2; exit 1; }}",
    )  # fmt: skip
    yield _check(plan, name)
    yield _sign(found, upgrade, name)
    yield _clear(plan)


@operation(is_idempotent=False)
def intact(plan: Plan, dump: Dump | None) -> Generator[StringCommand]:
    """See that a dump is as it was when it was checked, before anything is stopped for it.

    + plan: the run's plan
    + dump: the dump; None for a database elsewhere

    Tasks call it on every host, as with `taken`.
    """
    if dump is None or host.name != plan.topology.database.host:
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
def restored(plan: Plan, dump: Dump | None) -> Generator[StringCommand]:
    """Put a dump's content in the place of the database's, which is lost.

    + plan: the run's plan
    + dump: the dump, which belongs to the plan's credentials; None for a database elsewhere

    Tasks call it on every host, as with `taken`. The dump is loaded beside the database, which is
    there until the last step.
    """
    if dump is None or host.name != plan.topology.database.host:
        host.noop(f"no database to restore on {host.name}")
        return
    name = plan.settings.database_name
    yield _write_script(plan)
    yield _clear(plan)
    yield StringCommand(LOCKED, _load(plan), f"<{dump.file}")
    yield StringCommand(LOCKED, _engine(plan, "swap", SCRATCH, name, REPLACED))
    yield _clear(plan)


@operation()
def next_command_printed(plan: Plan, version: str | None) -> Generator[StringCommand]:
    """Print what to do after a database was restored. It changes nothing.

    + plan: the run's plan
    + version: the version whose schema it has; None if that is not known
    """
    if postpone("printed when the run comes to it"):
        return
    deploy = next_command(sys.argv[1:], "deploy.py", quay_version=version or "VERSION")
    done = f"The database has the schema of {version or 'the dump'}; Quay is stopped."
    if plan.topology.database.host is None:
        done = f"Quay is stopped. Restore your own backup of {version} now."
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{done} Next:\n  {deploy}")
    host.noop("the next command was printed")
    yield from ()


def chosen(plan: Plan) -> Dump | None:
    """The dump to restore; None for a database that runs elsewhere, and is restored there.

    Raises ``DeployError`` if there is none, or if it doesn't belong to engine or credentials.
    """
    where, settings = plan.topology, plan.settings
    needed = {*where.quay, *filter(None, [where.database.host])}
    with refusals():
        refuse(host_reports.absent_problems("restore", sorted(needed), plan.machines))
        refuse(foreign_data(plan))
        if where.database.host is None:
            if settings.database_backup is None:
                refuse(
                    [
                        "database_backup: the database runs elsewhere; set it to the version that "
                        "your own backup is of, which you will restore by its provider's means"
                    ]
                )
            return None
        credentials, kept_in = plan.credentials.fingerprint, str(plan.store.path)
        return dumps.choose(
            found(plan).dumps, settings.restore, settings.database_engine, credentials, kept_in
        )


def found(plan: Plan) -> DumpsState:
    """What the database's host reports, whichever host asks."""
    assert plan.topology.database.host is not None
    with ctx_host.use(inventory.get_host(plan.topology.database.host)):
        return _read(plan)


def way_back(plan: Plan) -> str:
    """The command that undoes the plan's upgrade."""
    if plan.topology.database.host is None:
        return next_command(sys.argv[1:], RESTORE, database_backup=plan.schema or "VERSION")
    there = plan.upgrade.dump_in(found(plan))
    return next_command(sys.argv[1:], RESTORE, restore=there.name if there else "NAME")


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


def _engine(plan: Plan, *words: str) -> StringCommand:
    """The engine's script in its container."""
    # Only where a file is given: else it would read the terminal of a local run.
    container = plan.workload("database", host.name).container.name
    script, reads = f'"$(cat {SCRIPT})"', words[0] == "load"
    return StringCommand(
        docker.execute_bash(container, script, "quaylab", *words, interactive=reads)
    )


def _write_script(plan: Plan) -> StringCommand:
    return files.write(ManagedFile(SCRIPT, dumps.script(plan.settings.database_engine)))


def _load(plan: Plan) -> StringCommand:
    settings = plan.settings
    return _engine(plan, "load", SCRATCH, settings.database_user, settings.database_name)


def _clear(plan: Plan) -> StringCommand:
    """Remove the scratch database, and whatever is no checked dump: leftovers of a killed run."""
    return StringCommand(
        LOCKED, "for dump in *.dump; do",
        'test -e "${dump%.dump}.json" || rm -f "$dump"; done; rm -f ./*.new;',
        _engine(plan, "drop", SCRATCH, REPLACED),
    )  # fmt: skip


def _check(plan: Plan, name: str) -> StringCommand:
    """Restore a dump into the scratch database, and compare tables and rows."""
    wrong = f"the dump {name} does not restore to what was dumped; the schema was not touched"
    return StringCommand(
        LOCKED, _load(plan), f"<{name}.dump.new;",
        _engine(plan, "rows", SCRATCH), f">{name}.found.new;",
        f"sort -o {name}.found.new {name}.found.new;",
        f"grep '^rows ' {name}.rows.new | sort | diff - {name}.found.new >&2 || {{",
        fail(wrong), "; }",
    )  # fmt: skip


def _sign(found: DumpsState, upgrade: Upgrade, name: str) -> StringCommand:
    """Tell beside a dump that it was checked; what has no such file is no dump."""
    known = {
        "before": upgrade.before,
        "after": upgrade.after,
        "engine": upgrade.engine,
        "credentials": upgrade.credentials,
        "revision": found.revision,
        "time": datetime.fromtimestamp(found.now, timezone.utc).isoformat(),
    }
    return StringCommand(
        LOCKED, "printf",
        QuoteString('%s, "tables": %d, "rows": %d, "size": %d, "sha256": "%s"}\\n'),
        QuoteString(json.dumps(known)[:-1]),
        f'"$(wc -l <{name}.found.new)"',
        f"\"$(awk '{{ rows += $NF }} END {{ printf \"%.0f\", rows }}' {name}.found.new)\"",
        f'"$(stat -c %s {name}.dump.new)" "$(sha256sum <{name}.dump.new | cut -d" " -f1)"',
        f">{name}.json.new; sync; mv {name}.dump.new {name}.dump; mv {name}.json.new {name}.json",
    )  # fmt: skip
