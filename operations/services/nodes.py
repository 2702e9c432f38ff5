"""Quay's nodes: they are replaced one at a time, while the others serve."""

from __future__ import annotations

from collections.abc import Callable, Generator

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, Host, QuoteString, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.balancer import BalancerState, Withdrawn
from facts.containers import Engine
from facts.engines import host_engine
from operations.engines import containers
from operations.hosts import files
from operations.runtime.commands import complain, connector_arguments
from operations.runtime.observation import Question, ask, question
from operations.services import balancers
from quaylab.model import EVERYWHERE, LOOPBACK, ManagedFile, container_name
from quaylab.paths import VAR
from quaylab.plan import Plan
from quaylab.services.base import ROUTER, Workload
from quaylab.services.quay_nodes import Node, former_nodes

# On a node's host: the balancers in which a run has drained the node. A run that is killed
# meanwhile leaves it, so that the next one puts the node back; what others drain stays drained.
WITHDRAWN = f"{VAR}/withdrawn"
# Seconds in which a balancer that runs elsewhere notices that a node is back: a cloud's asks every
# 10 to 30 s, and wants two good answers.
NOTICE_ELSEWHERE = 60


@operation()
def as_specified(plan: Plan, node: Node) -> Generator[PyinfraCommand]:
    """Bring a running node to its specification while the others serve: drain it in every balancer,
    replace it, wait until it is healthy, and send it requests again.

    + plan: the run's plan
    + node: the node, on this host
    """
    workload = _workload(plan, node)
    engine, change = ask(Engine), None
    # One that didn't run when the run began has been started with the others.
    if containers.is_running(plan.machines[host.name].state, workload.container):
        change = containers.needed_change(engine, workload.container)
    noted = ask(Withdrawn, path=note(node))
    is_withdrawn = any(each.name in noted for each in balancers.connected(plan))
    if not (change or is_withdrawn):
        host.noop(f"{node.container} runs as specified")
        return
    if containers.interruption(engine, workload.container, change):
        yield FunctionCommand(withdraw, (plan, node), {})
    if change:
        yield from containers.running._inner(
            workload=workload, timeout=plan.settings.health_timeout
        )
    yield FunctionCommand(put_back, (plan, node), {})
    if plan.settings.balancer_host and len(plan.nodes) > 1:
        # It can't be asked whether it uses the node again.
        yield StringCommand(f"sleep {NOTICE_ELSEWHERE}")


@operation()
def router_as_specified(plan: Plan, router: Workload) -> Generator[PyinfraCommand]:
    """Bring a host's router, by which its nodes reach database and Redis, to its specification
    while the nodes of other hosts serve.

    + plan: the run's plan
    + router: the router on this host
    """
    wanted, engine = router.container, ask(Engine)
    change = containers.needed_change(engine, wanted)
    is_interrupted = containers.interruption(engine, wanted, change)
    mine = drainable_nodes(plan, host.name) if is_interrupted else []
    if mine:
        yield FunctionCommand(_withdraw_if_others_serve, (plan, mine), {})
    yield from containers.running._inner(workload=router, timeout=plan.settings.health_timeout)
    for node in mine:
        yield FunctionCommand(put_back, (plan, node), {})


@operation()
def router_gives_way(plan: Plan) -> Generator[StringCommand]:
    """Have this host's router give up the port of a container that starts now: a router that is no
    longer needed goes, another one is brought to its specification.

    + plan: the run's plan
    """
    if host.name not in plan.topology.hosts[ROUTER]:
        yield from containers.absent._inner(container=container_name(ROUTER))
        return
    router = plan.workload(ROUTER, host.name)
    yield from files.present._inner(files=router.files)
    yield from containers.running._inner(workload=router, timeout=plan.settings.health_timeout)


@operation()
def former_removed(plan: Plan) -> Generator[PyinfraCommand]:
    """Remove the containers of a host that are no nodes any more, after draining: `quay_instances`
    is lower now, or the host has left the group `quay`.

    + plan: the run's plan
    """
    for node in former_nodes_of(plan, host.name):
        yield FunctionCommand(withdraw, (plan, node), {})
        yield StringCommand(host_engine().remove_ours(node.container))
        yield StringCommand("rm -f", QuoteString(note(node)))


def router_has_port(plan: Plan, host: str, service: str) -> bool:
    """Whether a connected host's router had, when the run began, a port that a service needs there
    now, because that had several hosts before."""
    machine, name = plan.machines[host], container_name(ROUTER)
    found = machine.state.containers.get(name)
    if found is None or name not in machine.own_containers:
        return False
    # As the engine reports them: address, number, number in the container. All are at loopback.
    taken = {int(port.split(":")[-2]) for port in found.ports}
    return any(
        port.published.host in taken and port.published.address in (LOOPBACK, EVERYWHERE)
        for owner, port in plan.ports_of(host)
        if owner == service
    )


def former_nodes_of(plan: Plan, host: str) -> list[Node]:
    """Return the nodes that a connected host had when the run began, and that are not wanted."""
    own = plan.own_containers(host)
    nodes = former_nodes(plan.settings, plan.topology, host)
    return [node for node in nodes if node.container in own]


def drainable_nodes(plan: Plan, host: str) -> list[Node]:
    """Return a host's nodes behind balancers, if others are elsewhere to which requests can go."""
    mine = balanced_nodes(plan, host)
    return mine if len(mine) < len(plan.nodes) else []


def balanced_nodes(plan: Plan, host: str) -> list[Node]:
    """Return a host's nodes, if they are behind balancers."""
    return [node for node in plan.nodes if node.host == host and plan.is_balanced]


def containers_on(plan: Plan, host: str) -> list[str]:
    """Return the names of Quay's containers that a connected host has or should have."""
    wanted = [each.container.name for each in plan.workloads_for("quay", host)]
    return wanted + [node.container for node in former_nodes_of(plan, host)]


def removes_nodes(plan: Plan) -> bool:
    """Whether the run removes nodes."""
    return any(former_nodes_of(plan, name) for name in plan.machines)


def questions(plan: Plan, host: str) -> tuple[list[Question], list[str]]:
    """Return what a run without changes asks a host of Quay's."""
    return [question(Withdrawn, path=note(node)) for node in balanced_nodes(plan, host)], []


def note(node: Node) -> str:
    """Return the path of the note that a run has drained a node."""
    return f"{WITHDRAWN}-{node.instance}"


def _workload(plan: Plan, node: Node) -> Workload:
    (found,) = (
        each
        for each in plan.workloads_for("quay", node.host)
        if each.container.name == node.container
    )
    return found


def _withdraw_if_others_serve(state: State, host: Host, plan: Plan, mine: list[Node]) -> bool:
    """Drain a host's nodes, unless no balancer has another one: this run may repair those."""
    states = [balancers.state_of(each) for each in balancers.connected(plan)]
    others = {node.name for node in plan.nodes} - {node.name for node in mine}
    if not all(any(_serves(at, name) for name in others) for at in states if at):
        logger.warning(f"{host.name} is not drained, because no other host's Quay serves")
        return True
    return all(withdraw(state, host, plan, node) for node in mine)


def withdraw(state: State, host: Host, plan: Plan, node: Node) -> bool:
    """Drain a node in every balancer, and wait until it has answered its requests."""
    knowing, used = [], []
    for each in balancers.connected(plan):
        found = balancers.state_of(each)
        if not (found and node.name in found.servers):
            continue
        knowing.append(each)
        if not found.servers[node.name].in_service:
            continue
        others = [name for name in found.servers if name != node.name]
        # One that has just started is seen after some seconds.
        if others and not balancers.await_state(each, _another_serves(node.name), balancers.NOTICE):
            states = ", ".join(f"{name} is {found.servers[name]}" for name in others)
            return complain(
                host,
                f"{node.name} is the only node that {each.name} has in service: {states}; repair "
                "these first",
            )
        used.append(each)
    left_out = set(plan.topology.balancers) - {each.name for each in balancers.connected(plan)}
    for name in sorted(left_out):
        logger.warning(f"{name} takes no part, so {node.name} is not drained there")
    # A killed run may have drained it in others.
    if used and not _note(host, node, {*_noted(host, node), *(each.name for each in used)}):
        return complain(host, f"{note(node)} can't be written")
    for each in used:
        if not balancers.set_state(each, node, "drain"):
            return complain(host, f"HAProxy on {each.name} refuses to drain {node.name}")
    for each in knowing:
        seconds = plan.settings.health_timeout
        if not balancers.await_state(each, lambda at: _is_idle(at, node.name), seconds):
            logger.warning(
                f"{node.name} still answers requests of {each.name} after {seconds} s; they are cut"
            )
    return True


def put_back(state: State, host: Host, plan: Plan, node: Node) -> bool:
    """Send a node requests again where a run has drained it, and wait until it gets them."""
    withdrawn, connected = _noted(host, node), balancers.connected(plan)
    for each in connected:
        found = balancers.state_of(each)
        if each.name not in withdrawn or not (found and node.name in found.servers):
            continue
        if not balancers.set_state(each, node, "ready"):
            return complain(host, f"HAProxy on {each.name} refuses to use {node.name}")
        if not balancers.await_state(each, lambda at: _serves(at, node.name), balancers.NOTICE):
            return complain(
                host,
                f"{node.name} is healthy, but {each.name} does not see it at "
                f"{node.address}:{node.port}; look at the firewall between the two",
            )
    return _note(host, node, set(withdrawn) - {each.name for each in connected})


def _another_serves(name: str) -> Callable[[BalancerState], bool]:
    return lambda at: any(_serves(at, other) for other in at.servers if other != name)


def _serves(state: BalancerState, name: str) -> bool:
    return name in state.servers and state.servers[name].in_service


def _is_idle(state: BalancerState, name: str) -> bool:
    is_idle = name not in state.servers or state.servers[name].sessions == 0
    return is_idle and state.workers <= 1


def _noted(host: Host, node: Node) -> list[str]:
    """Return the balancers in which runs have drained a node."""
    found: list[str] = host.get_fact(Withdrawn, path=note(node))
    return found


def _note(host: Host, node: Node, names: set[str]) -> bool:
    """Note the balancers in which a node is drained; without any there is no note."""
    if names:
        content = "".join(f"{name}\n" for name in sorted(names))
        command = files.write(ManagedFile(note(node), content))
    else:
        command = StringCommand("rm -f", QuoteString(note(node)))
    done, _ = host.run_shell_command(
        command, **{**connector_arguments(host), **command.connector_arguments}
    )
    return done
