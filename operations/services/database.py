"""Quay's database: extension, character set and rights, on our server or an external one."""

from __future__ import annotations

import shlex
from collections.abc import Generator

from pyinfra import host, inventory, logger
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from facts.containers import Engine
from facts.database import Database, DatabaseState
from facts.engines import engine_of, host_engine
from operations.engines.containers import is_former
from operations.hosts import reach
from operations.runtime.commands import complain, fail
from operations.runtime.observation import Question, ask, question
from operations.runtime.phases import postpone
from operations.services import patroni
from quaylab.clients.probes import Unreachable
from quaylab.database_login import Step
from quaylab.model import container_name
from quaylab.plan import Plan


def announce_former(plan: Plan) -> None:
    """Print which hosts have left the group `database` and still have their container: it stays
    with its data, which may be the only copy of what was there before a move."""
    for name in plan.machines:
        if is_former(plan, "database", name):
            notice = (
                f"{container_name('database')} and its data are still on {name}, which is not in "
                "the group `database`; no run removes them: "
                "docs/several-hosts.md#a-service-that-leaves-its-host"
            )
            inventory.get_host(name).log_styled(notice, fg="yellow", log_func=logger.warning)


@operation()
def first_start_ended(plan: Plan) -> Generator[StringCommand]:
    """Say how to begin again if a power cut has ended PostgreSQL's first start.

    sclorg's image makes the role only in the start that finds no data (run-postgresql), and ends
    without it in each later one (start/set_passwords.sh).

    + plan: the run's plan

    Nothing is removed by itself: also without a note of Quay's the data may be somebody's.
    """
    workload, engine = plan.workload("database", host.name), ask(Engine)
    container, volume = workload.container, workload.volume
    found = engine.containers.get(container.name)
    is_new = plan.schema is None and plan.settings.database_engine == "postgresql"
    if not is_new or found is None or found.health == "healthy":
        host.noop("no first start was cut off")
        return
    assert volume is not None
    user = plan.settings.database_user
    if volume.device:
        forget = f"mv {shlex.quote(volume.device)} {shlex.quote(f'{volume.device}-unfinished')} && "
    else:
        forget = ""
    removal = (
        f"{host_engine().remove(container.name)} && {forget}"
        f"{host_engine().remove_volume(volume.name, volume.device)}"
    )
    missing = (
        f"{host.name}: {container.name} ends because the role {user} is missing; if this is a new "
        "registry, a power cut has ended the database's first start, and nothing is in it yet: "
        f"remove it there, and run again: {removal}"
    )
    # All of its log, also if it ended long ago.
    log = f"begin=60; {host_engine().last_lines(container.name)}"
    yield StringCommand(
        f"if {{ {log}; }} | grep -qF", QuoteString(f'role "{user}" does not exist'), "; then",
        fail(missing), "; fi",
    )  # fmt: skip


@operation()
def prepared(plan: Plan) -> Generator[StringCommand]:
    """Give Quay's database what Quay needs, on a server of ours.

    + plan: the run's plan

    With PostgreSQL that is pg_trgm, and a role without superuser rights; with MySQL it is latin1.
    """
    settings = plan.settings
    database = plan.workload("database", host.name)
    container = database.container.name
    if plan.topology.database_members and not patroni.leads_here():
        if not postpone("asked when the run has brought the database up"):
            host.noop("another member leads")
        return
    state: DatabaseState | None = ask(Database, **state_arguments(plan))
    if (
        state is None
        and plan.was_deployed(host.name)
        and postpone("asked when the run has brought the database up")
    ):
        return
    if settings.database_engine == "mysql":
        # Quay's widest column, VARCHAR(60535), doesn't fit into a row of utf8mb4.
        if state and state.character_set == "latin1":
            host.noop("the character set is latin1")
        else:
            statement = f"ALTER DATABASE `{settings.database_name}` CHARACTER SET latin1"
            yield _mysql(container, statement)
        return
    if state and "pg_trgm" not in state.extensions:
        yield fail(
            f"the image {database.image.reference} has no pg_trgm, which Quay needs; take "
            "one with PostgreSQL's contrib modules (postgresql_image)"
        )
    if state and (installed := state.extensions.get("pg_trgm")):
        host.noop(f"pg_trgm {installed} is installed")
    else:
        statement = "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public"
        yield _postgresql(container, settings.database_name, statement)
    if state and state.role_superuser:
        statement = f'ALTER ROLE "{settings.database_user}" NOSUPERUSER'
        yield _postgresql(container, "postgres", statement)


def state_arguments(plan: Plan) -> dict[str, str]:
    """Return the arguments of the fact Database for a database host."""
    settings = plan.settings
    return {
        "container": container_name("database"),
        "engine": settings.database_engine,
        "database": settings.database_name,
        "user": settings.database_user,
    }


def collation_problem(plan: Plan) -> str | None:
    """Say why indexes may be wrong: the image's operating system sorts text otherwise than the one
    on which they were made. None: there is no sign of that."""
    name = patroni.leader(plan)
    if name is None or plan.settings.database_engine != "postgresql":
        return None
    server: Host = inventory.get_host(name)
    with ctx_host.use(server):
        state: DatabaseState | None = ask(Database, **state_arguments(plan))
    if state is None or not state.has_collation_mismatch:
        return None
    made, now = state.collations
    database = plan.settings.database_name
    statements = (
        f'REINDEX DATABASE "{database}"',
        f'ALTER DATABASE "{database}" REFRESH COLLATION VERSION',
    )
    words = ("psql", f"--dbname={database}", *(f"--command={each}" for each in statements))
    remedy = shlex.join((*engine_of(server).execute_words(container_name("database")), *words))
    return (
        f"the database's were made with the sort order {made}, and the image's operating system "
        f"has {now}, so they may be wrong; make them anew on {name}, while writes wait: "
        f"{remedy}"
    )


def questions(plan: Plan, host: str) -> tuple[list[Question], list[str]]:
    """Return what a run without changes asks a database host: facts, and paths of files."""
    containers = plan.machines[host].state.containers
    if host not in plan.topology.hosts["database"] or container_name("database") not in containers:
        return [], []
    return [question(Database, **state_arguments(plan))], []


@operation()
def external_database_present(plan: Plan) -> Generator[PyinfraCommand]:
    """Create Quay's role, its database and pg_trgm on an external server.

    + plan: the run's plan

    The administrator is only needed while the database refuses Quay's own credentials.
    """
    try:
        answer = reach.database(host, plan)
    except Unreachable as error:
        if plan.administrator is None:
            yield fail(str(error))  # it answered when the run began, and is gone since
            return
    else:
        host.noop(f"the database {answer}")
        return
    try:
        steps = reach.missing_steps(host, plan)
    except Unreachable as error:
        yield fail(str(error))
        return
    for step in steps:
        yield FunctionCommand(_execute_step, (plan, step), {})


def _execute_step(state: State, host: Host, plan: Plan, step: Step) -> bool:
    try:
        reach.execute_step(host, plan, step)
    except Unreachable as error:
        return complain(host, f"database_admin: can't {step.purpose}: {error}")
    return True


def _postgresql(container: str, database: str, statement: str) -> StringCommand:
    # The superuser's session calls nothing that others may have made in the database.
    client = (
        "PGOPTIONS='-c search_path=pg_catalog' psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "
        f'--dbname={database} --command="$0"'
    )
    return _run(container, client, statement)


def _mysql(container: str, statement: str) -> StringCommand:
    return _run(container, 'mysql --user=root --execute="$0"', statement)


def _run(container: str, client: str, statement: str) -> StringCommand:
    # Through bash: RHEL 7's rhscl images have their clients on the PATH of bash only.
    return StringCommand(host_engine().execute_bash(container, shlex.quote(client), statement))
