"""etcd's members: a host that is new, or has lost its data, joins those that are there."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator

from pyinfra import host, inventory
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.containers import Engine
from facts.engines import engine_of, host_engine
from facts.etcd import Etcd, EtcdMember
from operations.engines import containers
from operations.runtime.commands import complain, fact_of, fail, inventory_arguments, refusals
from operations.runtime.observation import ask
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.services import etcd
from quaylab.services.base import member_name
from quaylab.services.etcd import CONTAINER, ETCDCTL


@operation()
def started(plan: Plan) -> Generator[StringCommand]:
    """Start members that don't run, on all hosts at once: none of a new cluster is healthy alone.

    + plan: the run's plan
    """
    if _joins(plan):
        host.noop("it joins the others")
        return
    yield from containers.started._inner(
        workloads=[plan.workload(etcd.NAME, host.name)], timeout=plan.settings.health_timeout
    )


@operation()
def as_specified(plan: Plan) -> Generator[PyinfraCommand]:
    """Bring this host's member to its specification; a new one first becomes a member.

    + plan: the run's plan
    """
    if _joins(plan):
        yield FunctionCommand(_announce, (plan,), {})
    yield from containers.running._inner(
        workload=plan.workload(etcd.NAME, host.name), timeout=plan.settings.health_timeout
    )


@operation(is_idempotent=False)
def forgotten(member: str) -> Generator[StringCommand]:
    """Have etcd forget a member that is lost for good.

    + member: its name, or the address of one that has never started
    """
    members = ask(Etcd, container=CONTAINER)
    if members is None:
        yield fail("forget: etcd does not answer; a majority of its members has to run")
        return
    known = {each.handle: each for each in members}
    if member not in known:
        named = sorted(each.name for each in members if each.name)
        unnamed = "".join(
            f"; the one at {each.address} has never started, so etcd knows no name of it: if that "
            f"is meant, --data forget={each.address}"
            for each in members
            if not each.name
        )
        yield fail(f"forget: {member} is no member; members are {', '.join(named)}{unnamed}")
        return
    yield StringCommand(
        host_engine().execute(CONTAINER, f"{ETCDCTL} member remove {known[member].id}")
    )


def member_to_forget(plan: Plan) -> str:
    """Return the name or the address of the member that the setting `forget` names.

    Raises ``DeployError`` if it names none, or one that belongs to the cluster.
    """
    members, name = plan.topology.members, plan.settings.forget
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
            refuse(["forget: etcd does not answer; a majority of its members has to run"])
    return str(found)


def _joins(plan: Plan) -> bool:
    """Whether this host has no data of etcd's, while others form a majority without it."""
    if _has_data(plan, host.name) or containers.is_running(
        ask(Engine), plan.workload(etcd.NAME, host.name).container
    ):
        return False
    return any(members for _, members in _answers(plan))


def _answers(plan: Plan) -> Iterator[tuple[Host, tuple[EtcdMember, ...] | None]]:
    """Yield the connected hosts that had data of etcd's, with the members that they know."""
    for name in plan.topology.members:
        if _has_data(plan, name):
            other = inventory.get_host(name)
            yield other, fact_of(other, Etcd, container=CONTAINER)


def _has_data(plan: Plan, name: str) -> bool:
    machine = plan.machines.get(name)
    return machine is not None and any(
        each.name == CONTAINER and not each.empty for each in machine.volumes
    )


def _announce(state: State, host: Host, plan: Plan) -> bool:
    """Tell the others of this host's member, in the place of one of it that has lost its data."""
    url, name = etcd.peer_url(plan.context, host.name), member_name(host.name)
    for other, found in _answers(plan):
        if found is None:
            continue
        former = next((each for each in found if each.peer_url == url), None)
        if former and not former.name:
            return True  # a killed run has announced it
        commands = [f"{ETCDCTL} member remove {former.id}"] if former else []
        words = shlex.join(["member", "add", name, f"--peer-urls={url}"])
        commands.append(f"{ETCDCTL} {words}")
        for command in commands:
            done, output = other.run_shell_command(
                StringCommand(engine_of(other).execute(CONTAINER, command)),
                **inventory_arguments(other),
            )
            if not done:
                return complain(host, _refusal(plan, found, output.output))
        return True
    return complain(host, "no member of etcd answers; a majority of its members has to run")


def _refusal(plan: Plan, found: tuple[EtcdMember, ...], output: str) -> str:
    last = (output.splitlines() or ["no answer"])[-1]
    wanted = {handle for each in plan.topology.member_addresses.items() for handle in each}
    left = [each.handle for each in found if each.handle not in wanted]
    remedy = (
        f"; {left[0]} is a member still, and in no group: have it forgotten first, by "
        f"tasks/forget_member.py --data forget={left[0]}"
        if left
        else ""
    )
    return f"etcd takes no new member: {last}{remedy}"
