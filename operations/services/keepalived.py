"""keepalived: the virtual address, which one of the balancers holds."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable

from pyinfra import host, inventory
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from facts.containers import Engine
from facts.keepalived import AddressInUse, Keepalived, KeepalivedState
from operations.engines import containers
from operations.runtime.commands import (
    apt_install,
    complain,
    connector_arguments,
    fact_of,
    fail,
    inventory_arguments,
)
from operations.runtime.observation import ask
from operations.services import balancers
from operations.services.connection_hold import new_connections_held
from quaylab.hosts.machine import Machine
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.services.base import Workload
from quaylab.services.keepalived import (
    CONFIGURATION,
    DIRECTORY,
    LOADED,
    PENDING,
    UNIT,
    UNIT_FILE,
    files,
)

# Seconds in which another balancer takes the address over.
TAKE_OVER = 15


@operation()
def installed(machine: Machine) -> Generator[StringCommand]:
    """Install the distribution's keepalived; its own unit doesn't run without a configuration.

    + machine: the host
    """
    if ask(Keepalived).installed:
        host.noop("keepalived is there")
    elif machine.debian_family:
        yield apt_install("keepalived")
    else:
        # Its check connects to HAProxy, which SELinux forbids by default. Before the installation,
        # which tells the next run that all of this is done.
        yield StringCommand(
            "if selinuxenabled 2>/dev/null; then setsebool -P keepalived_connect_any on; fi"
        )
        yield StringCommand("yum install --quiet --assumeyes keepalived")


@operation()
def running(plan: Plan) -> Generator[StringCommand]:
    """Run keepalived with its present configuration. To load it anew moves no address.

    + plan: the run's plan
    """
    (wanted,) = (file for file in files(plan.context, host.name) if file.path == CONFIGURATION)
    found: KeepalivedState = ask(Keepalived)
    if found.active and found.enabled and not found.outdated and found.loaded == wanted.sha256:
        host.noop("keepalived runs with its present configuration")
        return
    yield StringCommand(f"keepalived --config-test --use-file={CONFIGURATION} >/dev/null")
    if not found.active or found.outdated:
        yield StringCommand(
            f"systemctl daemon-reload && systemctl enable --quiet {UNIT} && "
            f"systemctl restart {UNIT}"
        )
        # systemd calls it started before keepalived has read its configuration.
        yield StringCommand(
            f"sleep 3; systemctl is-active --quiet {UNIT} || "
            f"{{ journalctl --unit={UNIT} --lines=5 --no-pager --output=cat >&2;",
            fail(f"{host.name}: keepalived does not stay up; its last words are above"), "; }",
        )  # fmt: skip
    else:
        yield StringCommand(f"systemctl enable --quiet {UNIT} && systemctl reload {UNIT}")


@operation()
def handed_over(plan: Plan, workload: Workload) -> Generator[FunctionCommand]:
    """Have another balancer hold the address while a container of this one is replaced.

    + plan: the run's plan
    + workload: the container to which clients are led by the address
    """
    wanted, engine = workload.container, ask(Engine)
    if containers.interruption(engine, wanted, containers.needed_change(engine, wanted)):
        yield FunctionCommand(hand_over, (plan,), {})
    else:
        host.noop(f"{wanted.name} is not interrupted")


@operation()
def unchecked(plan: Plan) -> Generator[StringCommand]:
    """Let this balancer hold the address before its HAProxy runs.

    + plan: the run's plan
    """
    if balancers.runs_haproxy(plan, host.name):
        host.noop("HAProxy runs")
    elif ask(Keepalived).pending:
        host.noop("it may hold the address without HAProxy")
    else:
        yield StringCommand(f"touch {PENDING}")


@operation()
def checked() -> Generator[StringCommand]:
    """Let this balancer hold the address only while its HAProxy is well."""
    if ask(Keepalived).pending:
        yield StringCommand(f"rm -f {PENDING}")
    else:
        host.noop("it holds the address only while HAProxy is well")


@operation()
def absent() -> Generator[StringCommand]:
    """Give up the virtual address, and remove our unit; the package stays."""
    if not ask(Keepalived).present:
        host.noop("no unit of ours is there")
        return
    yield StringCommand(
        f"systemctl disable --now --quiet {UNIT} && rm -f {UNIT_FILE} {LOADED} {PENDING} && "
        f"rm -rf {DIRECTORY} && systemctl daemon-reload"
    )


def hand_over(state: State, host: Host, plan: Plan) -> bool:
    """Have another balancer hold the virtual address if this one does; clients' new connections
    wait meanwhile."""
    others = [each for each in balancers.connected(plan) if each.name != host.name]
    if not (others and _holds(host, plan)):
        return True
    is_taken = False
    if any(map(_is_ready, others)):
        with new_connections_held(plan):
            _control(host, "stop")
            end = time.monotonic() + TAKE_OVER
            while not is_taken and time.monotonic() < end:
                time.sleep(0.2)
                is_taken = any(_holds(each, plan) for each in others)
            # It never takes the address from another one.
            _control(host, "start")
    return is_taken or complain(
        host,
        f"{host.name} holds the virtual address, and no other balancer takes it over; repair "
        "these first",
    )


def _is_ready(each: Host) -> bool:
    """Whether a balancer can hold the address: keepalived and HAProxy run there."""
    return balancers.state_of(each) is not None and fact_of(each, Keepalived).active


def _holds(each: Host, plan: Plan) -> bool:
    """Whether a balancer holds the virtual address now."""
    command = f"ip -oneline address show to {plan.settings.virtual_address} | grep --quiet ."
    done, _ = each.run_shell_command(StringCommand(command), **inventory_arguments(each))
    return done


def _control(host: Host, verb: str) -> None:
    command = StringCommand(f"systemctl {verb} {UNIT}")
    host.run_shell_command(command, **connector_arguments(host))


def holder_last(plan: Plan, names: Iterable[str]) -> tuple[str, ...]:
    """Return balancers in an order for what interrupts them: last the one that held the virtual
    address when the run began, so that another one can take it over."""
    address, machines = plan.settings.virtual_address, plan.machines
    return tuple(
        sorted(names, key=lambda name: name in machines and address in machines[name].own_addresses)
    )


def is_free(plan: Plan) -> bool:
    """Whether there is a virtual address, and no connected balancer held it when the run began."""
    address = plan.settings.virtual_address
    connected = [name for name in plan.topology.balancers if name in plan.machines]
    return address is not None and not any(
        address in plan.machines[name].own_addresses for name in connected
    )


def check_address(plan: Plan) -> None:
    """Refuse a virtual address that a machine of others has.

    Raises:
        Refusal: it answers, and no balancer holds it.
    """
    address, balancers = plan.settings.virtual_address, plan.topology.balancers
    connected = [name for name in balancers if name in plan.machines]
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
