"""The database on several hosts: members are replaced one at a time, while another one leads."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial

from pyinfra import host, inventory
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from facts.containers import Engine, Succeeds
from facts.engines import engine_of, host_engine
from facts.files import Files
from facts.patroni import Patroni, PatroniState
from facts.router import Router
from operations.engines import containers
from operations.runtime.commands import (
    complain,
    connector_arguments,
    fact_of,
    inventory_arguments,
)
from operations.runtime.observation import Question, ask, question
from operations.runtime.phases import postpone
from operations.runtime.waiting import wait
from operations.services import etcd
from operations.services.connection_hold import new_connections_held
from quaylab.model import container_name
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.scripts import patroni_switch
from quaylab.services import patroni, patroni_config
from quaylab.services.base import ROUTER, member_name
from quaylab.services.environment import exec_with_environment
from quaylab.services.patroni import CONTAINER
from quaylab.services.postgresql import PostgreSQL

CONTROL = f"patronictl -c {patroni_config.CONFIGURATION}"
REFUSES_PASSWORD = exec_with_environment(PostgreSQL.refuses_password)
# What Patroni doesn't know after 20 s ("503 Switchover status unknown") may still come.
REFUSED = re.compile(r"4\d\d |503 (Switch|Fail)over failed")
# Changes of a member after which PostgreSQL is started, in words.
CHANGES = {**containers.STOPPING_CHANGES, "start": "started"}
# Seconds for a switchover, for routers to notice it, and for a member to load its files.
SWITCHOVER, NOTICE, RELOAD = 60, 15, 30


@operation()
def silent_loaded() -> Generator[StringCommand]:
    """Have a Patroni that runs and does not answer load its present files: its certificate may have
    expired. On all hosts at once, because a member follows no leader whose certificate has.
    """
    found = ask(Engine).containers.get(CONTAINER)
    if found is None or found.state != "running" or found.command != patroni.COMMAND:
        host.noop("no Patroni runs here")
    elif _ask_own():
        host.noop("Patroni answers")
    elif not postpone("asked when the run has written its files"):
        yield StringCommand(host_engine().reload(CONTAINER))


@operation()
def started(plan: Plan) -> Generator[PyinfraCommand]:
    """Start members that have data and don't run, on all hosts at once, if none leads: one that
    followed before does not lead until it knows that no other one has more.

    + plan: the run's plan

    The first member of a new cluster, and a single database that becomes one, is the only one with
    data, and comes before those that copy it.
    """
    workload = plan.workload(patroni.DATABASE, host.name)
    holding = [
        name for name in plan.connected(plan.topology.database_members) if _has_data(plan, name)
    ]
    found = first_answer(plan)
    if host.name not in holding or len(holding) < 2 or (found and found.leader):
        host.noop("a member leads, or will before the others are started")
        return
    if containers.is_running(ask(Engine), workload.container):
        host.noop(f"already running: {CONTAINER}")
        return
    yield from containers.running._inner(workload=workload, timeout=plan.settings.health_timeout)
    yield FunctionCommand(_await_leader, (plan,), {})


@operation()
def as_specified(plan: Plan) -> Generator[PyinfraCommand]:
    """Bring this host's member to its specification. If it leads, another one takes over first.

    + plan: the run's plan
    """
    workload = plan.workload(patroni.DATABASE, host.name)
    engine = ask(Engine)
    change = containers.needed_change(engine, workload.container)
    if change is None:
        found = _ask_own()
        if _is_to_start(found):
            return
        if found and _takes_part(found):
            host.noop(f"{CONTAINER} runs as specified and is healthy")
            return
    # Before anything stops: without etcd nobody leads, whatever runs.
    yield FunctionCommand(etcd.await_majority, (plan,), {})
    if containers.interruption(engine, workload.container, change):
        yield FunctionCommand(hand_over, (plan,), {})
    if change:
        yield from containers.running._inner(
            workload=workload, timeout=plan.settings.health_timeout
        )
    # A server that answers may still copy nothing.
    yield FunctionCommand(await_member, (plan,), {})
    # The next members log in with these.
    yield FunctionCommand(_set_roles, (), {})


@operation()
def roles_present(plan: Plan) -> Generator[StringCommand]:
    """Give the roles their passwords on the leader, before any member logs in with new ones.

    + plan: the run's plan
    """
    found = _ask_own()
    if _is_to_start(found):
        return
    if found is None or not found.leads:
        host.noop("no member leads here")
        return
    is_current = found.loaded == patroni.wanted_digest(plan, host.name)
    # If nobody follows, a run may have been killed that had started the first member, and had not
    # yet made the roles with which the others copy it.
    is_copied = is_current and found.has_other_follower
    if is_copied and not ask(Succeeds, container=CONTAINER, command=REFUSES_PASSWORD):
        host.noop("the roles have their passwords")
        return
    yield StringCommand(host_engine().execute(CONTAINER, "set-roles"))


@operation()
def loaded(plan: Plan) -> Generator[PyinfraCommand]:
    """Have Patroni and PostgreSQL load their present files; no connection is closed.

    + plan: the run's plan
    """
    found, wanted = _ask_own(), patroni.wanted_digest(plan, host.name)
    if _is_to_start(found):
        return
    if found and found.loaded == wanted:
        host.noop("the member runs with its present files")
        return
    yield StringCommand(host_engine().reload(CONTAINER))
    yield FunctionCommand(_await_loaded, (wanted,), {})


@operation()
def settings_kept(plan: Plan) -> Generator[StringCommand]:
    """Keep the cluster's settings in etcd as specified: a member's file has them for the first
    start only. What others have set besides stays.

    + plan: the run's plan
    """
    found = _ask_own()
    if _is_to_start(found):
        return
    if found is None or not found.leads:
        host.noop("another member leads")
        return
    changes = patroni_config.changes(patroni_config.dynamic_settings(), found.settings)
    if not changes:
        host.noop("the cluster has its settings")
        return
    patch = (
        f"printf %s {shlex.quote(json.dumps(changes))} | {CONTROL} edit-config --force --apply -"
    )
    yield StringCommand(host_engine().execute(CONTAINER, patch))


@operation()
def synchronous(plan: Plan) -> Generator[FunctionCommand]:
    """Wait until a second member has everything that the leader acknowledges: writes wait for it.

    + plan: the run's plan
    """
    found = _ask_own()
    if _is_to_start(found):
        return
    known = found.among(plan.topology.member_addresses) if found else None
    if known and known.leader and known.successor:
        host.noop(f"{known.leader} leads, {known.successor} is synchronous")
        return
    yield FunctionCommand(await_successor, (plan,), {})


@operation()
def made_leader(plan: Plan, place: str) -> Generator[FunctionCommand]:
    """Make a host's member the leader, by a switchover if another one leads.

    It may lose the last writes: it is for a database whose content is replaced.

    + plan: the run's plan
    + place: the host
    """
    if host.name != place:
        host.noop(f"{place} is to lead")
        return
    found = _ask_own()
    if _is_to_start(found):
        return
    if found and found.leads:
        host.noop(f"{place} leads")
        return
    yield FunctionCommand(_take_over, (plan,), {})


def in_order(plan: Plan) -> tuple[str, ...]:
    """Return the connected members in the order in which a run works on them: the founder before
    those that copy its data; else the leader last, so that one switchover is enough."""
    connected, known = plan.connected(plan.topology.database_members), first_answer(plan)
    if known is None:
        return connected
    return tuple(sorted(connected, key=lambda name: member_name(name) == known.leader))


def leader_last(plan: Plan, names: Iterable[str]) -> tuple[str, ...]:
    """Return hosts in an order for what interrupts them: the one that leads the database last."""
    last = leader(plan) if plan.topology.database_members else None
    return tuple(sorted(names, key=lambda name: name == last))


def first_answer(plan: Plan) -> PatroniState | None:
    """Return what the first connected member that answers tells; None if none does."""
    connected = plan.connected(plan.topology.database_members)
    return next(filter(None, (state_of(plan, name) for name in connected)), None)


def unknown_members(plan: Plan, found: PatroniState | None) -> list[str]:
    """Return the names of the members in an answer that are in no group."""
    if found is None:
        return []
    known = found.among(plan.topology.member_addresses).members
    return [name for name in found.members if name not in known]


def state_of(plan: Plan, name: str) -> PatroniState | None:
    """Return what a connected host's member tells; None if it runs none."""
    if CONTAINER not in plan.machines[name].containers:
        return None
    with ctx_host.use(inventory.get_host(name)):
        return _ask_own()


def leader(plan: Plan) -> str | None:
    """Return the connected host that has the database now: the only one, or whose member leads."""
    hosts = plan.connected(plan.topology.database.hosts)
    if not plan.topology.database_members:
        return next(iter(hosts), None)
    for name in hosts:
        found: PatroniState | None = fact_of(inventory.get_host(name), Patroni, container=CONTAINER)
        if found:
            return next((each for each in hosts if member_name(each) == found.leader), None)
    return None


def _has_data(plan: Plan, name: str) -> bool:
    """Whether a connected host had data of a database when the run began."""
    return any(each.name == CONTAINER and not each.empty for each in plan.machines[name].volumes)


def leads_here() -> bool:
    """Whether the current host's member leads."""
    found = _ask_own()
    return bool(found and found.leads)


def questions(plan: Plan, host: str) -> tuple[list[Question], list[str]]:
    """Return what a run without changes asks a member."""
    if (
        host not in plan.topology.database_members
        or CONTAINER not in plan.machines[host].state.containers
    ):
        return [], []
    return [
        question(Patroni, container=CONTAINER),
        question(Succeeds, container=CONTAINER, command=REFUSES_PASSWORD),
    ], []


def _ask_own() -> PatroniState | None:
    found: PatroniState | None = ask(Patroni, container=CONTAINER)
    return found


def _is_to_start(found: PatroniState | None) -> bool:
    """Whether the run is only planned, and the member, which doesn't run yet, has to be asked when
    the run has started it."""
    return found is None and postpone("asked when the run has started the member")


def _now(host: Host) -> PatroniState | None:
    found: PatroniState | None = fact_of(host, Patroni, container=CONTAINER)
    return found


def _takes_part(found: PatroniState) -> bool:
    """Whether a member leads, or copies what the leader writes."""
    return bool(found.own and (found.own.leads or found.own.follows))


def _wait(host: Host, check: Callable[[PatroniState], bool], seconds: int) -> PatroniState | None:
    """Wait until a member tells what is wanted; None if it doesn't in time."""
    found = wait(partial(_now, host), seconds, until=lambda at: at is not None and check(at))
    return found if found and check(found) else None


def hand_over(state: State, host: Host, plan: Plan) -> bool:
    """Have the database go on without this host's member. If it leads, another one takes over, and
    clients' new connections wait meanwhile. If it follows, another one has to follow as well: a
    killed run may not have waited for the one before."""
    found, known = _now(host), plan.topology.member_addresses
    if found and found.is_paused:
        return complain(host, f"{host.name} has a member of the database, and {_paused(host)}")
    if found and found.own and found.own.follows:
        return _await_other_follower(host, plan, found)
    if found is None or not found.leads:
        return True
    if _wait(host, lambda at: at.among(known).successor is not None, SWITCHOVER) is None:
        return complain(
            host,
            f"{host.name} leads the database, and no other member can take over: "
            f"{_members(_now(host))}; repair these first",
        )
    # Patroni is shown the password of its present file. That is the wanted one only if a run has
    # written it: a reboot, for example, writes none.
    wanted = patroni.wanted_digest(plan, host.name)
    has_others = found.loaded != wanted and _has_wanted_files(host, plan)
    if has_others and _publishes_wanted_ports(host, plan):
        command = StringCommand(host_engine().reload(CONTAINER))
        host.run_shell_command(command, **connector_arguments(host))
        if not _await_loaded(state, host, wanted):
            return False
    # All that Patroni counts on have to answer; it counts on a lost one for 20 s.
    _wait(host, lambda at: at.among(known).can_switch_over, SWITCHOVER)
    with new_connections_held(plan):
        # Not to a member that is named: that one would lead even if this machine were lost
        # meanwhile, and another one had more.
        leader = _switch(
            host,
            host,
            ("switchover", "--leader", found.name),
            lambda at: at != found.name,
            "no other member takes over",
        )
        if leader is None:
            return False
        if leader in unknown_members(plan, _now(host)):
            return complain(
                host,
                f"{leader} leads the database now, and is in no group, so no router leads there; "
                f"switch it off, or remove {CONTAINER} there",
            )
        _await_routers(plan, leader)
        return True


def _await_other_follower(host: Host, plan: Plan, found: PatroniState) -> bool:
    """Wait until another member follows, unless the others take no part, as a lost machine: then
    writes wait for this one."""
    seconds, known = plan.settings.health_timeout, plan.topology.member_addresses
    connected = set(map(member_name, plan.connected(plan.topology.database_members)))
    if not connected - {found.name, found.leader}:
        return True
    if _wait(host, lambda at: at.among(known).has_other_follower, seconds):
        return True
    return complain(
        host,
        f"{host.name} follows the database, and no other member does after {seconds} s, so writes "
        f"would wait for it: {_members(_now(host))}; repair the others first",
    )


def resume_command(host: Host) -> str:
    """Return the command that ends a pause of Patroni, to be run on a host."""
    return engine_of(host).execute(CONTAINER, f"{CONTROL} resume")


def _paused(host: Host) -> str:
    return (
        "Patroni is paused, so no member takes over, and none that was stopped starts; end the "
        f"pause on {host.name}: {resume_command(host)}"
    )


def refuse_paused(plan: Plan) -> None:
    """Refuse to interrupt or to start a member while nobody can take over: a paused Patroni does
    not start a PostgreSQL that doesn't run (``Ha._run_cycle`` of 4.0.9).

    Raises:
        Refusal: Patroni is paused, with the command that ends that.
    """
    found = first_answer(plan)
    if found is None or not found.is_paused:
        return
    refuse(
        f"database: {CONTAINER} on {name} has to be {CHANGES[change]}, but "
        f"{_paused(_place(plan, found))}"
        for name, workload, change in containers.due_changes(plan)
        if workload.service == patroni.DATABASE and change in CHANGES
    )


def _place(plan: Plan, found: PatroniState) -> Host:
    """Return the connected host whose member has answered."""
    members = plan.connected(plan.topology.database_members)
    return inventory.get_host(next(name for name in members if member_name(name) == found.name))


def require_other_members(state: State, host: Host, plan: Plan) -> bool:
    """Complain unless the database has a leader and a member that copies it without this host."""
    members = plan.topology.database_members
    asked = [host, *map(inventory.get_host, plan.connected(members))]

    def answer() -> PatroniState | None:
        return next(filter(None, map(_now, asked)), None)

    def is_enough(found: PatroniState | None) -> bool:
        if found is None:
            return False
        known = found.among(plan.topology.member_addresses).members
        others = [each for name, each in known.items() if name != member_name(host.name)]
        # If this one leads, one of two that follow takes over.
        return found.leader in known and sum(each.leads or each.follows for each in others) > 1

    found = wait(answer, SWITCHOVER, until=lambda at: is_enough(at) or bool(at and at.is_paused))
    if found and found.is_paused:
        return complain(host, f"{host.name} stays on: {_paused(_place(plan, found))}")
    return is_enough(found) or complain(
        host,
        f"{host.name} stays on: without it the database has no leader with a second member: "
        f"{_members(found)}; repair the others first",
    )


def _await_routers(plan: Plan, leader: str) -> None:
    """Wait until all routers lead Quay to the member that leads, some seconds at most."""
    routers = plan.connected(plan.topology.hosts[ROUTER])

    def all_lead_there() -> bool:
        states = (
            fact_of(inventory.get_host(name), Router, container=container_name(ROUTER))
            for name in routers
        )
        return all(state is None or state.get("database") == [leader] for state in states)

    wait(all_lead_there, NOTICE, pause=0.2)


def _has_wanted_files(host: Host, plan: Plan) -> bool:
    """Whether a member's files, of which Patroni's has a digest of all, are as specified."""
    (wanted,) = (
        file
        for file in plan.workload(patroni.DATABASE, host.name).files
        if file.path.endswith(patroni_config.FILE)
    )
    found = host.get_fact(Files, paths=[wanted.path]).get(wanted.path)
    return bool(found and found.sha256 == wanted.sha256)


def _publishes_wanted_ports(host: Host, plan: Plan) -> bool:
    """Whether the running member has the ports of its files: else others would lose it."""
    found = host.get_fact(Engine).containers[CONTAINER]
    wanted = plan.workload(patroni.DATABASE, host.name).container.ports
    return bool(found.ports == {str(port) for port in wanted})


def _take_over(state: State, host: Host, plan: Plan) -> bool:
    """Have this host's member lead."""
    known = plan.topology.member_addresses
    found = _wait(
        host,
        lambda at: at.among(known).successor is not None and at.leader is not None,
        SWITCHOVER,
    )
    if found is None:
        return complain(host, f"{host.name} can't lead: {_members(_now(host))}; repair these first")
    if found.leads:
        return True
    # Patroni switches over to synchronous members only. What another one lacks is lost, but whoever
    # has it lead replaces everything anyway.
    is_synchronous = found.own and found.own.is_synchronous
    how = ("switchover", "--leader", str(found.leader)) if is_synchronous else ("failover",)
    words = (*how, "--candidate", found.name)
    failure = f"{found.name} does not take over"
    # Patroni asks the candidate at its published address, which that one itself may not reach.
    others = [name for name in plan.connected(plan.topology.database_members) if name != host.name]
    others.sort(key=lambda name: member_name(name) != found.leader)
    asked = inventory.get_host(others[0]) if others else host
    return _switch(host, asked, words, lambda at: at == found.name, failure) is not None


def _switch(
    host: Host, asked: Host, how: Sequence[str], is_wanted: Callable[[str], bool], failure: str
) -> str | None:
    """Have another member lead, by the Patroni of a host that is asked for it; return its name, or
    complain of the failure, and return None, if no wanted one leads."""
    command = shlex.join(["python3", "-c", inspect.getsource(patroni_switch), *how])
    done, output = asked.run_shell_command(
        StringCommand(engine_of(asked).execute(CONTAINER, command)), **inventory_arguments(asked)
    )
    if done and not REFUSED.match(output.stdout):
        found = _wait(host, lambda at: at.leader is not None and is_wanted(at.leader), SWITCHOVER)
        if found:
            return found.leader
    last = (output.output.splitlines() or ["no answer"])[-1]
    complain(host, f"{failure}: {last}")
    return None


def _set_roles(state: State, host: Host) -> bool:
    """Make the roles if this host's member leads; the others copy them."""
    found = _wait(host, _takes_part, RELOAD)
    if found is None:
        return complain(
            host,
            f"{host.name} neither leads nor follows the database any more: {_members(_now(host))}; "
            "run again",
        )
    if not found.leads:
        return True
    done, output = host.run_shell_command(
        StringCommand(host_engine().execute(CONTAINER, "set-roles")), **connector_arguments(host)
    )
    # One line: a longer text could quote a statement.
    reason = (output.stderr_lines or ["no answer"])[0]
    return done or complain(host, f"the database's roles can't be made: {reason}")


def await_member(state: State, host: Host, plan: Plan) -> bool:
    seconds = plan.settings.health_timeout
    if _wait(host, _takes_part, seconds):
        return True
    found = _now(host)
    remedy = f"see: {host_engine().logs(CONTAINER)}"
    if found and found.is_paused:
        remedy = _paused(host)
    elif found and found.own and found.own.state == "running":
        # As after a long absence, when the leader has no longer what it misses. On another host,
        # because patronictl asks the member at its published address: see patroni_switch.
        again = host_engine().execute(
            CONTAINER, f"{CONTROL} reinit {patroni_config.SCOPE} {found.name} --force"
        )
        remedy += (
            f"; if it lacks what the leader has dropped, copy all of it again, on {found.leader}: "
            f"{again}"
        )
    return complain(
        host,
        f"{host.name} neither leads nor follows the database after {seconds} s: "
        f"{_members(found)}; {remedy}",
    )


def _await_leader(state: State, host: Host, plan: Plan) -> bool:
    seconds = plan.settings.health_timeout
    if _wait(host, lambda at: at.leader is not None, seconds):
        return True
    return complain(
        host,
        f"no member leads the database after {seconds} s: {_members(_now(host))}; see: "
        f"{host_engine().logs(CONTAINER)}",
    )


def _await_loaded(state: State, host: Host, wanted: str) -> bool:
    if _wait(host, lambda at: at.loaded == wanted, RELOAD):
        return True
    return complain(
        host,
        f"Patroni on {host.name} did not load {patroni_config.FILE} within {RELOAD} s; see: "
        f"{host_engine().logs(CONTAINER)}",
    )


def await_successor(state: State, host: Host, plan: Plan) -> bool:
    seconds = plan.settings.health_timeout
    known = plan.topology.member_addresses
    if _wait(host, lambda at: bool(at.among(known).leader and at.among(known).successor), seconds):
        return True
    return complain(
        host,
        f"no member of the database has what the leader has, after {seconds} s, so writes wait: "
        f"{_members(_now(host))}",
    )


def _members(found: PatroniState | None) -> str:
    if found is None:
        return "Patroni or etcd does not answer"
    return ", ".join(f"{name} {member}" for name, member in found.members.items())
