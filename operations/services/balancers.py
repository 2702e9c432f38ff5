"""HAProxy in front of Quay: its configuration, and which nodes get requests."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterable

from pyinfra import host, inventory
from pyinfra.api import Host, StringCommand, operation

from facts.balancer import Balancer, BalancerState
from facts.engines import engine_of, host_engine
from facts.keepalived import Keepalived
from operations.engines.containers import is_running
from operations.runtime.commands import fact_of, inventory_arguments
from operations.runtime.observation import Question, ask, question
from operations.runtime.phases import postpone
from operations.runtime.waiting import wait
from quaylab.model import container_name
from quaylab.plan import Plan
from quaylab.services import balancer, haproxy_config, keepalived
from quaylab.services.quay_nodes import Node

CONTAINER = container_name(balancer.NAME)
# Seconds for a reload, and for a balancer to see that a node is up.
RELOAD, NOTICE = 15, 30


@operation()
def loaded(plan: Plan) -> Generator[StringCommand]:
    """Have HAProxy load its configuration and certificates; no connection is closed.

    Drained nodes stay drained. A configuration that HAProxy refuses changes nothing.

    + plan: the run's plan
    """
    wanted = wanted_digest(plan, host.name)
    found: BalancerState | None = ask(Balancer, container=CONTAINER)
    if found is None and postpone("asked when the run has started HAProxy"):
        return
    if found and found.loaded == wanted:
        host.noop("HAProxy runs with its present configuration")
        return
    yield StringCommand(host_engine().execute(CONTAINER, _reload(wanted, plan.nodes)))


def runs_haproxy(plan: Plan, name: str) -> bool:
    """Whether a balancer's HAProxy ran when the run began."""
    if name not in plan.topology.balancers:
        return False
    wanted = plan.workload(balancer.NAME, name).container
    return is_running(plan.machines[name].state, wanted)


def wanted_digest(plan: Plan, name: str) -> str:
    """Return what a balancer's HAProxy tells of its configuration once it is the plan's."""
    (configuration,) = (
        file.content
        for file in plan.workload(balancer.NAME, name).files
        if file.path.endswith(haproxy_config.CONFIGURATION)
    )
    return haproxy_config.loaded_digest(configuration)


def _reload(wanted: str, nodes: Iterable[Node]) -> str:
    """Return the script that reloads HAProxy. It runs to its end even if the run is killed, as an
    old file of states would be loaded by a later start.

    With a node's state HAProxy also loads its former address and port, so these are set again.
    """
    places = "; ".join(
        balancer.ask(
            f"set server {haproxy_config.BACKEND}/{node.name} addr {node.address} port {node.port}"
        )
        for node in nodes
    )
    states, path = haproxy_config.STATES, f"{balancer.DIRECTORY}/{haproxy_config.CONFIGURATION}"
    complaint = shlex.quote(f"HAProxy did not load {path} within {RELOAD} s")
    return (
        f"haproxy -c -f {path} >/dev/null && {balancer.ask('show servers state')} >{states} && "
        f"kill -USR2 1 && end=$(($(date +%s) + {RELOAD})) && "
        f"until {balancer.ask('show info')} 2>/dev/null | grep -q '^description: {wanted}$'; do "
        f'test "$(date +%s)" -lt "$end" || {{ echo {complaint} >&2; rm -f {states}; exit 1; }}; '
        f"sleep 0.2; done && rm -f {states} && {{ {places}; }} >/dev/null"
    )


def questions(plan: Plan, host: str) -> tuple[list[Question], list[str]]:
    """Return what a run without changes asks a balancer."""
    if host not in plan.topology.balancers:
        return [], []
    facts = [question(Keepalived)]
    if CONTAINER in plan.machines[host].state.containers:
        facts.append(question(Balancer, container=CONTAINER))
    if plan.settings.virtual_address is None:
        return facts, []
    return facts, [file.path for file in keepalived.files(plan, host)]


def connected(plan: Plan) -> tuple[Host, ...]:
    """Return the balancers that take part in the run."""
    return tuple(map(inventory.get_host, plan.connected(plan.topology.balancers)))


def state_of(each: Host) -> BalancerState | None:
    """Ask another host's HAProxy; None if it doesn't answer."""
    found: BalancerState | None = fact_of(each, Balancer, container=CONTAINER)
    return found


def set_state(each: Host, node: Node, state: str) -> bool:
    """Give a node an administrative state in a balancer: ``drain`` or ``ready``."""
    command = f"set server {haproxy_config.BACKEND}/{node.name} state {state}"
    script = StringCommand(_execute(each, [command]))
    done, output = each.run_shell_command(script, **inventory_arguments(each))
    # HAProxy says nothing if it does as it is told, and ends well in any case.
    return done and not output.stdout.strip()


def hold_commands(each: Host, nodes: Iterable[Node]) -> tuple[str, str]:
    """Return the shell commands by which a balancer's HAProxy takes part in a hold of new
    connections, and ends it: it closes each open one with its next answer, and asks no node for its
    health, since all say that they are ill while the database moves."""
    held = f"{balancer.DIRECTORY}/{haproxy_config.HELD}"
    names = [f"{haproxy_config.BACKEND}/{node.name}" for node in nodes]
    begin = (f"add acl {held} held", *(f"disable health {name}" for name in names))
    end = (f"clear acl {held}", *(f"enable health {name}" for name in names))
    return _execute(each, begin), _execute(each, end)


def _execute(each: Host, commands: Iterable[str]) -> str:
    """Return the shell command that gives a balancer's HAProxy several commands."""
    return engine_of(each).execute(CONTAINER, "; ".join(map(balancer.ask, commands)))


def await_state(each: Host, check: Callable[[BalancerState], bool], seconds: int) -> bool:
    """Wait until a balancer's state is as wanted; True as well if HAProxy doesn't run there."""

    def is_wanted() -> bool:
        state = state_of(each)
        return state is None or check(state)

    return wait(is_wanted, seconds)
