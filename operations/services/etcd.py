"""etcd's members: a host that is new, or has lost its data, joins those that are there."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator
from functools import partial

from pyinfra import host, inventory, logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from facts.containers import Engine
from facts.engines import engine_of, host_engine
from facts.etcd import AnsweringEtcd, Etcd, EtcdMember
from operations.engines import containers
from operations.runtime.commands import complain, fact_of, fail, inventory_arguments, refusals
from operations.runtime.observation import Question, ask, question
from operations.runtime.waiting import wait
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.services import etcd, patroni
from quaylab.services.base import member_name
from quaylab.services.etcd import CONTAINER, ETCDCTL, JOINS

# For 5 s after a member has joined, etcd takes no other one, with this reason. An election lasts
# some seconds as well.
UNHEALTHY, SETTLING = "unhealthy cluster", 15
# Seconds in which the others have to be well before a machine is rebooted.
PATIENCE = 60
NO_MAJORITY = "etcd does not answer; a majority of its members has to run"


@operation()
def data_of_no_member_removed(plan: Plan) -> Generator[StringCommand]:
    """Remove the container and the data of a host that is no member: what its first start has made
    without the others is of another cluster, and with what it had before it left them they refuse
    it for ever.

    + plan: the run's plan
    """
    if not _is_no_member(plan):
        host.noop("etcd's data is a member's")
        return
    engine = ask(Engine)
    if CONTAINER in engine.containers:
        yield StringCommand(host_engine().remove(CONTAINER))
    if CONTAINER in engine.volumes:
        yield StringCommand(host_engine().remove_volume(CONTAINER))


@operation()
def started(plan: Plan) -> Generator[StringCommand]:
    """Start members that don't run, on all hosts at once: none of a new cluster is healthy alone.

    + plan: the run's plan
    """
    if _joins(plan):
        host.noop("it joins the others")
        return
    if not any(_has_data(plan, name) for name in plan.topology.database_members):
        # They found a cluster; a former one, to which this host was announced, is gone.
        yield StringCommand(f"rm -f {JOINS}")
    yield from containers.started._inner(
        workloads=[plan.workload(etcd.NAME, host.name)], timeout=plan.settings.health_timeout
    )


@operation()
def as_specified(plan: Plan) -> Generator[PyinfraCommand]:
    """Bring this host's member to its specification; a new one first becomes a member, and one
    with another address than before first tells it.

    + plan: the run's plan
    """
    if _joins(plan):
        yield FunctionCommand(_announce, (plan,), {})
        yield StringCommand(f"touch {JOINS}")
    elif _is_listed_elsewhere(plan):
        yield FunctionCommand(_tell_address, (plan,), {})
    yield from containers.running._inner(
        workload=plan.workload(etcd.NAME, host.name), timeout=plan.settings.health_timeout
    )


@operation(is_idempotent=False)
def forgotten(plan: Plan, member: str) -> Generator[StringCommand]:
    """Have etcd forget a member that is lost for good.

    + plan: the run's plan
    + member: its name, or its address: one that has never started has no name
    """
    members = ask(Etcd, container=CONTAINER)
    if members is None:
        yield fail(f"forget: {NO_MAJORITY}")
        return
    known = {
        member_name(handle): each for each in members for handle in (each.address, each.handle)
    }
    if member not in known:
        present = plan.topology.member_addresses.values()
        if all(each.address in present for each in members):
            # For example by a run that was killed after it.
            logger.warning(f"{member} is no member any more, nor is another lost host")
            host.noop(f"{member} is forgotten already")
            return
        named = sorted(each.name for each in members if each.name)
        unnamed = "".join(
            f"; the one at {each.address} has never started, so etcd knows no name of it: if that "
            f"is meant, --data forget={each.address}"
            for each in members
            if not each.name
        )
        yield fail(f"forget: {member} is no member; members are {', '.join(named)}{unnamed}")
        return
    logger.warning(f"{member}: erase it before it is switched on again; else it joins the others")
    yield StringCommand(
        host_engine().execute(CONTAINER, f"{ETCDCTL} member remove {known[member].id}")
    )


def member_to_forget(plan: Plan) -> str:
    """Return the name or the address of the member that the setting `forget` names.

    Raises ``DeployError`` if it names none, or one that belongs to the cluster.
    """
    members, name = plan.topology.database_members, plan.settings.forget
    with refusals():
        if not members:
            refuse(["forget: group `database` has no cluster, so nobody is to be forgotten"])
        if name is None:
            refuse(["forget: not set; name the lost host: --data forget=HOST"])
        if member_name(str(name)) in map(member_name, members):
            refuse([f"forget: {name} is in group `database`; take it out of the inventory first"])
        if name in plan.topology.member_addresses.values():
            refuse([f"forget: {name} is the address of a host in group `database`"])
    return member_name(str(name))


def answering(plan: Plan) -> str:
    """Return the first connected host whose etcd answers: a new host's is not there yet.

    Raises ``DeployError`` if none answers.
    """
    found = next((other.name for other, members in _answers(plan) if members), None)
    with refusals():
        if found is None:
            refuse([f"forget: {NO_MAJORITY}"])
    return str(found)


def refuse_lost_majority(plan: Plan) -> None:
    """Refuse to start members without data beside some that are no majority: these would refuse
    them for ever.

    Raises:
        Refusal: of a cluster that was whole, no majority is left, and hosts have no data.
    """
    connected = plan.connected(plan.topology.database_members)
    holding = [name for name in connected if _has_data(plan, name)]
    empty = [name for name in connected if name not in holding and not _is_running(plan, name)]
    if not (empty and holding and _was_whole(plan)):
        return
    # One that does not run may be started, and make a majority.
    if all(_is_running(plan, name) for name in holding) and not _first_answer(plan):
        refuse(
            [
                f"etcd: its data is only on {', '.join(holding)}, which is no majority, and not on "
                f"{', '.join(empty)}; bring back the machines that have it, or follow "
                "docs/high-availability.md#when-etcds-data-is-gone"
            ]
        )


def require_majority(state: State, host: Host, plan: Plan) -> bool:
    """Complain unless a majority of the members answers without this host's."""
    members = plan.topology.database_members
    others = {etcd.client_url(plan, name) for name in members if name != host.name}
    asked = [host, *map(inventory.get_host, plan.connected(members))]

    def answering() -> set[str]:
        answers = (fact_of(each, AnsweringEtcd, container=CONTAINER) for each in asked)
        return others.intersection(next(filter(None, answers), ()))

    found = wait(answering, PATIENCE, until=lambda urls: len(urls) > len(members) // 2)
    return len(found) > len(members) // 2 or complain(
        host,
        f"{host.name} stays on: without it {len(found)} of {len(members)} members of etcd answer, "
        "which is no majority; repair the others first",
    )


def await_majority(state: State, host: Host, plan: Plan) -> bool:
    """Complain unless a majority of the members answers: a task of the database alone may be the
    first after the group has grown."""
    asked = [*map(inventory.get_host, plan.connected(plan.topology.database_members))]

    def answers() -> bool:
        return any(fact_of(each, Etcd, container=CONTAINER) for each in asked)

    return wait(answers, SETTLING) or complain(
        host,
        f"{host.name} keeps its database as it is: {NO_MAJORITY}; ./lab up starts all of them",
    )


def unknown_members(plan: Plan) -> list[str]:
    """Return the members, by what names them, that are in no group."""
    names, addresses = plan.topology.member_addresses, plan.topology.member_addresses.values()
    return [
        each.handle
        for each in _first_answer(plan)
        if each.name not in names and each.address not in addresses
    ]


def questions(plan: Plan, host: str) -> tuple[list[Question], list[str]]:
    """Return what a run without changes asks a member."""
    if (
        host not in plan.topology.database_members
        or CONTAINER not in plan.machines[host].state.containers
    ):
        return [], []
    return [question(Etcd, container=CONTAINER)], []


def _joins(plan: Plan) -> bool:
    """Whether this host has no data of a member, while others form a majority without it."""
    wanted = plan.workload(etcd.NAME, host.name).container
    if _has_data(plan, host.name) or containers.is_running(ask(Engine), wanted):
        return _is_no_member(plan)
    return bool(_first_answer(plan))


def _is_no_member(plan: Plan) -> bool:
    """Whether others form a majority without this host: they still wait for its first start, or
    have forgotten it."""
    found, url = _first_answer(plan), etcd.peer_url(plan, host.name)
    own = next((each for each in found if each.peer_url == url), None) or _own(found, host)
    return bool(found) and not ask(Etcd, container=CONTAINER) and not (own and own.name)


def _is_listed_elsewhere(plan: Plan) -> bool:
    """Whether this host's member is known at another address, because a setting has changed."""
    own = _own(ask(Etcd, container=CONTAINER) or _first_answer(plan), host)
    return own is not None and own.peer_url != etcd.peer_url(plan, host.name)


def _own(members: tuple[EtcdMember, ...], host: Host) -> EtcdMember | None:
    """Return a host's member; None if it has not started yet."""
    return next((each for each in members if each.name == member_name(host.name)), None)


def _first_answer(plan: Plan) -> tuple[EtcdMember, ...]:
    """Return the members that a majority knows; none if there is no majority."""
    return next((members for _, members in _answers(plan) if members), ())


def _answers(plan: Plan) -> Iterator[tuple[Host, tuple[EtcdMember, ...] | None]]:
    """Yield the connected hosts that had data of etcd's, with the members that they know."""
    for name in plan.topology.database_members:
        if _has_data(plan, name):
            other = inventory.get_host(name)
            with ctx_host.use(other):
                found: tuple[EtcdMember, ...] | None = ask(Etcd, container=CONTAINER)
            yield other, found


def _has_data(plan: Plan, name: str) -> bool:
    machine = plan.machines.get(name)
    return machine is not None and any(
        each.name == CONTAINER and not each.empty for each in machine.volumes
    )


def _is_running(plan: Plan, name: str) -> bool:
    """Whether a connected host's etcd ran when the run began."""
    wanted = plan.workload(etcd.NAME, name).container
    return containers.is_running(plan.machines[name].state, wanted)


def _was_whole(plan: Plan) -> bool:
    """Whether a cluster has been complete once: its database starts only after all of etcd."""
    machines = [plan.machines[name] for name in plan.connected(plan.topology.database_members)]
    found = (machine.state.containers.get(patroni.CONTAINER) for machine in machines)
    volumes = [each.name for machine in machines for each in machine.volumes]
    return volumes.count(patroni.CONTAINER) > 1 or any(
        each and each.command == patroni.COMMAND for each in found
    )


def _announce(state: State, host: Host, plan: Plan) -> bool:
    """Tell the others of this host's member, in the place of one of it that has lost its data,
    which may have had another address."""
    url, name = etcd.peer_url(plan, host.name), member_name(host.name)
    for other, found in _answers(plan):
        if found is None:
            continue
        former = [each for each in found if each.peer_url == url or each.name == name]
        # By a killed run. One that has data may have voted, and gets a new identity.
        is_announced = any(not each.name for each in former) and not _has_data(plan, host.name)
        gone = [each for each in former if each.name or not is_announced]
        changes: list[tuple[str, ...]] = [("remove", each.id) for each in gone]
        if not is_announced:
            changes.append(("add", name, f"--peer-urls={url}"))
        reason = next(filter(None, (_refusal(other, change) for change in changes)), None)
        if reason is None:
            return True
        remedies = (
            f"; {left} is a member still, and in no group: have it forgotten first, by "
            f"tasks/forget_member.py --data forget={left}"
            for left in unknown_members(plan)
        )
        return complain(host, f"etcd takes no new member: {reason}{next(remedies, '')}")
    return complain(host, NO_MAJORITY)


def _tell_address(state: State, host: Host, plan: Plan) -> bool:
    """Tell the others the address that this host's member is about to have: members that know only
    former addresses of a majority no longer find each other."""
    url = etcd.peer_url(plan, host.name)
    for other, found in _answers(plan):
        if own := _own(found or (), host):
            reason = _refusal(other, ("update", own.id, f"--peer-urls={url}"))
            return reason is None or complain(host, f"etcd takes no other address: {reason}")
    return complain(host, NO_MAJORITY)


def _refusal(other: Host, change: tuple[str, ...]) -> str | None:
    """Have another host's etcd change its list of members; return why it refuses."""
    command = engine_of(other).execute(CONTAINER, f"{ETCDCTL} {shlex.join(['member', *change])}")
    arguments = inventory_arguments(other)
    done, output = wait(
        partial(other.run_shell_command, StringCommand(command), **arguments),
        SETTLING,
        until=lambda answer: answer[0] or UNHEALTHY not in answer[1].output,
        pause=1,
    )
    return None if done else (output.output.splitlines() or ["no answer"])[-1]
