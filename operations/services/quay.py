"""Quay itself: its schema, its first user, and its verification."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any
from weakref import WeakSet

import urllib3
from pyinfra import host, inventory, state
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host
from urllib3.exceptions import HTTPError

from facts.containers import Engine
from facts.engines import host_engine
from facts.files import Files
from facts.network import UnreachableTargets
from operations.engines.containers import due_changes, is_former, needed_change, network_and_volume
from operations.hosts import files, reach
from operations.hosts.reach import registry, tunnel
from operations.runtime.commands import complain, fail
from operations.runtime.invocation import executes_at_once, includes_quay
from operations.runtime.observation import Question, ask, ask_each, question, recall
from operations.runtime.phases import postpone
from operations.runtime.waiting import wait
from operations.services import dumps, superuser
from quaylab.clients.probes import Unreachable
from quaylab.clients.registry import RegistryError
from quaylab.engines.log_summary import SUMMARY
from quaylab.engines.state import EngineState
from quaylab.model import LOOPBACK, NETWORK, ManagedFile, container_name
from quaylab.paths import DATABASE_NOTE, SCHEMA_NOTE, STORAGE_NOTE, VAR
from quaylab.plan import Plan
from quaylab.services import quay_connections
from quaylab.services.quay_nodes import Node
from quaylab.upgrade.schema_version import note
from quaylab.versions import is_legacy

MIGRATION = "quaylab-migration"
VERIFIED = f"{VAR}/verified"
# Hosts whose Quay has refused the superuser's password in this run: it is not tried again.
_refusing: WeakSet[Host] = WeakSet()
# Seconds: a balancer of a cloud asks its nodes every 30 s or so, and wants two good answers.
FRONT_TIMEOUT = 90


@operation()
def migrated(plan: Plan) -> Generator[StringCommand]:
    """Migrate the database's schema to this version, once, before a node of this version starts.

    + plan: the run's plan

    It is done if this host's note says so or, where the note is lost, if Quay's container has the
    version. A second migration changes nothing, so the next run finishes a killed one. Nodes of the
    previous version go on serving meanwhile.
    """
    done = note(plan.version)
    if not plan.migrates:
        found = ask_each(Files, [done.path]).get(done.path)
        if found and found.differs(done) is None:
            host.noop(f"the schema is that of {plan.schema}")
        else:
            yield files.write(done)
        return
    quay = plan.workloads_for("quay", host.name)[0]
    yield from network_and_volume(quay, ask(Engine))
    # Wait for the migration of a killed run: if it were cut off, MySQL would keep half of it.
    yield StringCommand(host_engine().remove_when_ended(MIGRATION))
    migrate = host_engine().run_once(
        MIGRATION, quay.container.mounts, quay.image.reference, "migrate", "head"
    )
    yield StringCommand(
        f"log=$({migrate} 2>&1) ||",
        "{ printf '%s\\n' \"$log\" | awk", QuoteString(SUMMARY), ">&2;",
        fail(_migration_failed(plan)), "; }",
    )  # fmt: skip
    yield files.write(done)


@operation()
def former_notes_removed(plan: Plan) -> Generator[StringCommand]:
    """Remove the notes of the registry's data from the hosts that have left the group `quay`:
    Quay's hosts have them now, and these would be outdated when such a host comes back.

    + plan: the run's plan

    Tasks call it on every host, so that it waits for Quay's hosts.
    """
    if host.name not in plan.former_quays:
        host.noop(f"{host.name} has not left the group")
        return
    yield StringCommand("rm -f", SCHEMA_NOTE, STORAGE_NOTE, DATABASE_NOTE)


def has_leftover_migration(plan: Plan) -> bool:
    """Whether a killed run has left its migration on a connected host; it may run still."""
    return any(MIGRATION in machine.containers for machine in plan.machines.values())


def has_unused_redis(plan: Plan) -> bool:
    """Whether a connected host has a Redis that no Quay uses after this run: the host has left the
    group `redis`, and all of Quay's hosts take part, which are led to the present one."""
    takes_part = all(name in plan.machines for name in plan.topology.quay)
    return takes_part and any(is_former(plan, "redis", name) for name in plan.machines)


@operation()
def migration_ended(plan: Plan) -> Generator[StringCommand]:
    """Wait for the migration of a killed run, and remove its container, before its database is
    interrupted: MySQL would keep half of it.

    + plan: the run's plan

    Tasks call it on every host, so that the database's waits for Quay's.
    """
    if MIGRATION not in plan.machines[host.name].containers:
        host.noop(f"no migration on {host.name}")
        return
    yield StringCommand(host_engine().remove_when_ended(MIGRATION))


def _migration_failed(plan: Plan) -> str:
    if plan.schema is None:
        return f"migrating to {plan.version} failed; its last messages are above"
    return (
        f"migrating to {plan.version} failed, its last messages are above; {plan.upgrade.before} "
        "still serves. Repair the cause and run again, or go back to the state before the upgrade, "
        "which loses what was pushed since, and brings back what was revoked since: "
        f"{dumps.restore_command(plan)}"
    )


@operation()
def services_answer(plan: Plan) -> Generator[StringCommand]:
    """Check that every service accepts Quay's credentials, before Quay starts.

    Containers on this host must reach them as well. It changes nothing.

    + plan: the run's plan
    """
    if postpone("asked when the run comes to it"):
        return
    try:
        answers = reach.services(host, plan)
    except (RegistryError, Unreachable) as error:
        yield fail(str(error))
        return
    if out_of_reach := _out_of_reach(plan):
        yield fail("\n".join(out_of_reach))
        return
    host.noop(", ".join(map(str, answers.values())))


def _out_of_reach(plan: Plan) -> list[str]:
    """Return a problem for each service that this host can reach but its containers can't."""
    needed = quay_connections.connections(plan.settings, plan.topology)
    reasons = ask(UnreachableTargets, **reach_arguments(plan, host.name, ask(Engine)))
    hosts_file = (
        "they have their host's /etc/hosts as it was when they were started"
        if host_engine().gives_hosts_file
        else "containers don't read their host's /etc/hosts"
    )
    return [
        f"{name} at {address}:{port}: {host.name} reaches it, but its containers don't: "
        f"{reasons[address, port]}; look at what its firewall forwards from the engine's networks, "
        f"and at DNS: {hosts_file}"
        for name, (address, port) in needed.items()
        if (address, port) in reasons
    ]


def reach_arguments(plan: Plan, host: str, engine: EngineState) -> dict[str, Any]:
    """Return the arguments of the fact UnreachableTargets for a host of Quay's.

    If Quay's container runs on our network, the check is done in it. Otherwise the container is
    about to be replaced, and a temporary one of its image does the check.
    """
    quay = plan.workloads_for("quay", host)[0]
    found = engine.containers.get(quay.container.name)
    return {
        "container": quay.container.name,
        "image": quay.image.reference,
        "inside": bool(found and found.state == "running" and NETWORK in found.networks),
        "targets": [*quay_connections.connections(plan.settings, plan.topology).values()],
    }


@operation()
def superuser_present(plan: Plan) -> Generator[FunctionCommand]:
    """Create Quay's first user, and check that it is a superuser.

    + plan: the run's plan
    """
    is_refused = False
    if not plan.credentials.superuser_passwords_before:
        # The host itself: pyinfra's `host` stands for each in turn, and is remembered as any.
        current: Host = ctx_host.get()  # type: ignore[no-untyped-call]
        known = None if _is_still_down(plan) else _knows_superuser(current, plan)
        if known:
            host.noop(f"{plan.settings.quay_superuser} is there and a superuser")
            return
        if (
            known is None
            and plan.was_deployed(host.name)
            and postpone("asked when the run has brought Quay up")
        ):
            return
        is_refused = known is False
    # If Quay can't be asked (not up, or another registry), this function reports the error.
    yield FunctionCommand(_create_superuser, (plan, is_refused), {})


@operation()
def balanced(plan: Plan) -> Generator[FunctionCommand]:
    """Wait until the balancer, ours or one that runs elsewhere, sends requests to Quay.

    + plan: the run's plan
    """
    if superuser.refusal(partial(registry, host, plan)) is None:
        host.noop(f"{plan.topology.url} answers")
        return
    yield FunctionCommand(_await_front, (plan,), {})


def _await_front(state: State, host: Host, plan: Plan) -> bool:
    reason = superuser.await_answer(partial(registry, host, plan), FRONT_TIMEOUT, pause=0.5)
    if reason is None:
        return True
    addresses = plan.topology.addresses
    nodes = ", ".join(
        f"{addresses.get(node.host, node.address)}:{node.port}" for node in plan.nodes
    )
    return complain(
        host,
        f"the nodes are healthy, but the registry doesn't answer at the balancer, "
        f"{plan.topology.front}:{plan.topology.https_port}, within {FRONT_TIMEOUT} s: "
        f"{reason}; look at what the balancer says of {nodes}",
    )


@operation()
def verified(plan: Plan) -> Generator[PyinfraCommand]:
    """Verify that everything works, with exactly Quay's addresses and credentials.

    + plan: the run's plan

    Each run asks database, Redis and ``/health/endtoend``. A login, push, pull and
    delete follows if the container is not the one that was verified last.
    """
    wanted = [each.container for each in plan.workloads_for("quay", host.name)]
    engine = ask(Engine)
    found = [engine.containers.get(each.name) for each in wanted]
    mark = ManagedFile(VERIFIED, f"{' '.join(each.id for each in found if each)}\n", mode=0o644)
    before = ask_each(Files, [VERIFIED]).get(VERIFIED)
    is_verified = before is not None and before.differs(mark) is None
    if state.is_executing:
        try:
            health = health_line(host, plan)
        except (RegistryError, Unreachable) as error:
            yield fail(str(error))
            return
        if is_verified:
            host.noop(health)
            return
    elif is_verified and all(needed_change(engine, each) != "replace" for each in wanted):
        host.noop("asked when the run comes to it")
        return
    yield FunctionCommand(_round_trip, (plan,), {})
    yield files.write(mark)


def questions(plan: Plan, host: str) -> tuple[list[Question], list[str]]:
    """Return what a run without changes asks a host of Quay's: facts, and paths of files."""
    if host not in plan.topology.quay:
        return [], []
    notes = [note(plan.version).path, STORAGE_NOTE, DATABASE_NOTE]
    if host != plan.topology.first_quay:
        return [], notes
    arguments = reach_arguments(plan, host, plan.machines[host].state)
    facts = [question(UnreachableTargets, **arguments)] if arguments["inside"] else []
    return facts, [*notes, VERIFIED]


def health_line(host: Host, plan: Plan) -> str:
    """Return versions and health in one line, without changing anything.

    Raises:
        Unreachable: a service does not answer Quay's credentials.
        RegistryError: the registry doesn't answer, or its end-to-end health is bad.
    """
    answers = reach.services(host, plan)
    open_registry = partial(registry, host, plan)
    health = recall(host, "health", lambda: superuser.good_health(plan, open_registry))
    servers = [answer.server for answer in answers.values()]
    return f"{', '.join([*servers, *health.services])} healthy"


def early_questions(plan: Plan) -> list[Callable[[], object]]:
    """Return questions to Quay that a run without changes asks at its end, to be asked while the
    hosts answer others.

    There are none if the run has anything to do with a container, or if it stops at pyinfra's
    prompt: the answers would be old after that.
    """
    first_quay = plan.topology.first_quay
    if is_legacy(plan.version) or first_quay not in plan.machines or not executes_at_once():
        return []
    if any(due_changes(plan)):
        return []
    host = inventory.get_host(first_quay)
    questions: list[Callable[[], object]] = [partial(health_line, host, plan)]
    # Of several passwords one is wrong, and after each wrong one Quay locks the user out.
    if includes_quay() and not plan.credentials.superuser_passwords_before:
        questions.append(partial(_knows_superuser, host, plan))
    return questions


def _knows_superuser(host: Host, plan: Plan) -> bool | None:
    if host in _refusing:
        return False
    open_registry = partial(registry, host, plan, _node(host, plan))
    known = recall(host, "superuser", lambda: superuser.is_known(plan, open_registry))
    if known is False:
        _refusing.add(host)
    return known


def _is_still_down(plan: Plan) -> bool:
    """Return whether the run is only planned, and first starts a container on this host."""
    if state.is_executing:
        return False
    engine = ask(Engine)
    return any(needed_change(engine, each.container) for each in plan.workloads_of(host.name))


def _node(host: Host, plan: Plan) -> Node:
    """Return the first node on a host: a balancer may not send requests there yet."""
    return next(node for node in plan.nodes if node.host == host.name)


def _create_superuser(state: State, host: Host, plan: Plan, is_refused: bool) -> bool:
    open_registry = partial(registry, host, plan, _node(host, plan))
    done = superuser.create(host, plan, open_registry, is_refused)
    if done:
        _refusing.discard(host)
    return done


def _round_trip(state: State, host: Host, plan: Plan) -> bool:
    return superuser.round_trip(host, plan, partial(registry, host, plan))


@operation()
def wizard_reachable(plan: Plan) -> Generator[FunctionCommand]:
    """Wait until Quay 2.9 shows its set-up page, in which the user does the rest.

    + plan: the run's plan
    """
    if _wizard_answers(host, plan):
        host.noop("/setup answers")
        return
    yield FunctionCommand(_await_wizard, (plan,), {})


def _await_wizard(state: State, host: Host, plan: Plan) -> bool:
    seconds = plan.settings.health_timeout
    if wait(partial(_wizard_answers, host, plan), seconds, pause=1):
        return True
    log = host_engine().logs(container_name("quay"))
    return complain(host, f"Quay's /setup does not answer after {seconds} s; see: {log}")


def _wizard_answers(host: Host, plan: Plan) -> bool:
    try:
        with tunnel(host, LOOPBACK, plan.settings.quay_http_port) as (address, port):
            url = f"http://{address}:{port}/setup"
            return urllib3.request("GET", url, timeout=5, retries=False).status == 200
    except (HTTPError, OSError, RegistryError):
        return False
