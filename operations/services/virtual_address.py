"""The virtual address, which one of the balancers holds: who has it, and how it moves."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from pyinfra import host, inventory, logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.containers import Engine
from facts.keepalived import AddressInUse, Keepalived
from operations.engines import containers
from operations.runtime.commands import (
    complain,
    connector_arguments,
    fact_of,
    fail,
    inventory_arguments,
)
from operations.runtime.observation import ask
from operations.runtime.phases import postpone
from operations.runtime.waiting import wait
from operations.services import balancers
from operations.services.connection_hold import new_connections_held
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.services.base import Workload
from quaylab.services.keepalived import UNIT

# Seconds in which another balancer takes the address over; else this one has it again.
TAKE_OVER = 6
# Seconds in which one of the balancers that have just started comes to hold it.
SETTLING = 15


@operation()
def container_as_specified(plan: Plan, workload: Workload) -> Generator[PyinfraCommand]:
    """Bring a balancer's container to its specification. If it has to be interrupted, another
    balancer holds the address before, unless there is none that can: this run may repair it.

    + plan: the run's plan
    + workload: a container that clients reach by the address
    """
    wanted, engine = workload.container, ask(Engine)
    change = containers.needed_change(engine, wanted)
    if containers.interruption(engine, wanted, change):
        yield FunctionCommand(fail_over_if_possible, (plan,), {})
    yield from containers.running._inner(workload=workload, timeout=plan.settings.health_timeout)


@operation()
def held_once(plan: Plan) -> Generator[StringCommand]:
    """Check that exactly one balancer holds the virtual address, after some seconds at most. It
    changes nothing.

    + plan: the run's plan
    """
    connected = balancers.connected(plan)
    if len(connected) < len(plan.topology.balancers):
        host.noop("a balancer takes no part, and may hold the address")
        return
    if postpone("asked when all balancers run"):
        return

    def holders() -> list[str]:
        return [each.name for each in connected if _holds(each, plan)]

    found = wait(holders, SETTLING, until=lambda names: len(names) == 1)
    if problem := _problem(plan, found):
        yield fail(problem)
    else:
        host.noop(f"{found[0]} holds the address")


def problem(plan: Plan) -> str | None:
    """Return what was wrong with who holds the virtual address when the run began; None: nothing,
    or a balancer that takes no part may hold it."""
    names = plan.topology.balancers
    holders = [name for name in names if _held(name, plan)]
    is_unknown = not holders and len(plan.connected(names)) < len(names)
    if plan.settings.virtual_address is None or is_unknown:
        return None
    return _problem(plan, holders)


def _problem(plan: Plan, holders: list[str]) -> str | None:
    """Return why clients may not be served at the virtual address that these balancers hold."""
    address = plan.settings.virtual_address
    if not holders:
        return f"no balancer holds {address}; see on each: journalctl --unit={UNIT}"
    if len(holders) == 1:
        return None
    return (
        f"{', '.join(holders)} hold {address} at once, so VRRP's messages (IP protocol 112) do not "
        "pass between them; let them pass in the firewalls and switches of their network"
    )


def fail_over_if_possible(state: State, host: Host, plan: Plan) -> bool:
    """Have another balancer hold the virtual address if this one does and another one can."""
    if not _moved_away(host, plan):
        logger.warning(f"{host.name} keeps the virtual address, because no other balancer takes it")
    return True


def fail_over(state: State, host: Host, plan: Plan) -> bool:
    """Have another balancer hold the virtual address if this one does, or complain."""
    return _moved_away(host, plan) or complain(
        host,
        f"{host.name} holds the virtual address, and no other balancer takes it over; repair "
        "these first",
    )


def _moved_away(host: Host, plan: Plan) -> bool:
    """Move the address to another balancer; clients' new connections wait meanwhile. Return whether
    this one is without it."""
    if not plan.settings.virtual_address or not _holds(host, plan):
        return True
    others = [each for each in balancers.connected(plan) if each.name != host.name]
    are_all_known = len(others) == len(plan.topology.balancers) - 1
    if are_all_known and not any(map(_is_ready, others)):
        return False
    with new_connections_held(plan):
        # It begins as a backup, and takes the address from nobody.
        restart = StringCommand(f"systemctl restart {UNIT}")
        host.run_shell_command(restart, **connector_arguments(host))
        if wait(lambda: any(_holds(each, plan) for each in others), TAKE_OVER, pause=0.2):
            return True
        # One that takes no part in the run may have it.
        return not are_all_known and not _holds(host, plan)


def _is_ready(each: Host) -> bool:
    """Whether a balancer can hold the address: keepalived and HAProxy run there."""
    return balancers.state_of(each) is not None and fact_of(each, Keepalived).active


def _holds(each: Host, plan: Plan) -> bool:
    """Whether a balancer holds the virtual address now."""
    command = f"ip -oneline address show to {plan.settings.virtual_address} | grep --quiet ."
    done, _ = each.run_shell_command(StringCommand(command), **inventory_arguments(each))
    return done


def holder_last(plan: Plan, names: Iterable[str]) -> tuple[str, ...]:
    """Return balancers in an order for what interrupts them: last the one that held the virtual
    address when the run began, so that another one can take it over."""
    return tuple(sorted(names, key=lambda name: _held(name, plan)))


def is_free(plan: Plan) -> bool:
    """Whether there is a virtual address, and no connected balancer held it when the run began."""
    has_address = plan.settings.virtual_address is not None
    return has_address and not any(_held(name, plan) for name in plan.topology.balancers)


def _held(name: str, plan: Plan) -> bool:
    """Whether a balancer is connected, and held the virtual address when the run began."""
    machine = plan.machines.get(name)
    return machine is not None and plan.settings.virtual_address in machine.own_addresses


def check_address(plan: Plan) -> None:
    """Refuse a virtual address that a machine of others has.

    Raises:
        Refusal: it answers, and no balancer holds it.
    """
    address, balancers = plan.settings.virtual_address, plan.topology.balancers
    connected = plan.connected(balancers)
    # A host that has just left the group may still hold it.
    is_ours = any(
        network == f"{address}/32"
        for machine in plan.machines.values()
        for _, network in machine.networks
    )
    # A balancer that takes no part may hold it.
    if address is None or is_ours or len(connected) < len(balancers):
        return
    asked = inventory.get_host(connected[0])
    if fact_of(asked, AddressInUse, address=address):
        refuse(
            [
                f"virtual_address: another machine in the network of {asked.name} has {address}; "
                "choose a free address"
            ]
        )
