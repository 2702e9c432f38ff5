"""The registry's status."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TypeVar

from pyinfra import host, inventory
from pyinfra.api import Host, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from rich.console import Console
from rich.table import Table

from facts.keepalived import Keepalived
from facts.quay import Quay
from facts.router import Router
from operations.hosts import reach
from operations.runtime.commands import fact_of, fail
from operations.runtime.phases import postpone
from operations.services import balancers, database, members, patroni, virtual_address
from quaylab.clients.probes import Unreachable
from quaylab.clients.registry import RegistryError
from quaylab.model import container_name
from quaylab.plan import Plan
from quaylab.secrets import certificates
from quaylab.services import BY_NAME, ingress
from quaylab.services.base import ROUTER
from quaylab.services.quay_nodes import Node

P = TypeVar("P")
NO_HAPROXY = "HAProxy does not answer; ./lab up brings it back"


@operation()
def printed(plan: Plan) -> Generator[PyinfraCommand]:
    """Print one line for each part, and fail if one is broken. It changes nothing.

    + plan: the run's plan
    """
    if postpone("printed when the run comes to it"):
        return
    several = len(plan.nodes) > 1
    problem = database.collation_problem(plan)
    address_problem = virtual_address.problem(plan)
    parts: dict[str, Callable[[Plan], str]] = {
        **{
            f"Quay, {node.name}" if several else "Quay": partial(_node, node) for node in plan.nodes
        },
        **{f"Balancer, {name}": partial(_balancer, name) for name in plan.topology.balancers},
        **({"Virtual address": partial(_broken, address_problem)} if address_problem else {}),
        **{f"Member, {name}": partial(_member, name) for name in plan.topology.database_members},
        **{
            f"Member, {name}": partial(_broken, remedy)
            for name, remedy in members.unknown(plan).items()
        },
        **{
            f"{title}, {name}": partial(_tcp_proxy, service, name)
            for service, title in {ROUTER: "Router", ingress.NAME: "Ingress"}.items()
            for name in plan.topology.hosts[service]
        },
        **{BY_NAME[name].title: partial(_service, name) for name in plan.topology.endpoints},
        **({"Indexes": partial(_broken, problem)} if problem else {}),
        "End to end": _end_to_end,
        "Certificate": _certificate,
        **(
            {"Members' certificate": _members_certificate} if plan.topology.database_members else {}
        ),
    }
    yield from table_of(plan, parts)


def table_of(
    plan: P,
    parts: Mapping[str, Callable[[P], str]],
    errors: tuple[type[Exception], ...] = (RegistryError, Unreachable),
) -> Generator[StringCommand]:
    """Ask each part and print a table of the answers; fail if a part is broken.

    Args:
        errors: what a broken part raises.
    """
    table = Table.grid(padding=(0, 2))
    broken = []
    for part, ask in parts.items():
        try:
            answer = ask(plan)
        except errors as error:
            answer = f"[red]{error}[/red]"
            broken.append(part)
        table.add_row(f"[bold]{part}[/bold]", answer)
    # To stdout, which pyinfra doesn't use: `./lab status` shows this alone.
    Console(highlight=False).print(table)
    if broken:
        yield fail(f"broken: {', '.join(broken)}")


def _connected(plan: Plan, name: str) -> Host:
    """Return a host that takes part in this run.

    Raises:
        RegistryError: it takes none.
    """
    if name not in plan.machines:
        raise RegistryError(f"{name} takes no part in this run")
    found: Host = inventory.get_host(name)
    return found


def _node(node: Node, plan: Plan) -> str:
    """Return the state of a Quay container in one line."""
    found = fact_of(_connected(plan, node.host), Quay, container=node.container)
    if found is None:
        raise RegistryError("there is no container; ./lab up brings it back")
    if not found.healthy:
        failing = ", ".join(name for name, good in found.services.items() if not good)
        raise RegistryError(f"{found.version}, not healthy: {failing or 'it does not answer'}")
    kind = " (a stand-in)" if plan.has_standin else ""
    return f"{found.version}{kind} at {plan.topology.url}, healthy"


def _balancer(name: str, plan: Plan) -> str:
    """Return what a balancer does with each node, and whether it has the virtual address."""
    balancer = _connected(plan, name)
    state = balancers.state_of(balancer)
    if state is None:
        raise RegistryError(NO_HAPROXY)
    address = plan.settings.virtual_address
    if address and not fact_of(balancer, Keepalived).active:
        raise RegistryError(f"keepalived does not run, so {address} can't move here")
    holds = f"holds {address}; " if address in plan.machines[name].own_addresses else ""
    nodes = ", ".join(f"{node} {server}" for node, server in state.servers.items())
    if not any(server.in_service for server in state.servers.values()):
        raise RegistryError(f"{holds}no node is in service: {nodes}")
    return f"{holds}{nodes}"


def _member(name: str, plan: Plan) -> str:
    """Return the role of a member of the database's cluster."""
    _connected(plan, name)
    found = patroni.state_of(plan, name)
    if found is None:
        raise RegistryError("Patroni or etcd does not answer; ./lab up brings them back")
    if found.own is None or not (found.own.leads or found.own.follows):
        raise RegistryError(f"neither leads nor follows: {found.own or 'unknown to the others'}")
    if found.is_paused:
        resume = patroni.resume_command(inventory.get_host(name))
        raise RegistryError(
            f"{found.own}, but Patroni is paused, so no other member takes over if the leader is "
            f"lost; end the pause there: {resume}"
        )
    return str(found.own)


def _broken(reason: str, plan: Plan) -> str:
    raise RegistryError(reason)


def _tcp_proxy(service: str, name: str, plan: Plan) -> str:
    """Return to which members a router leads, or to which gateways an ingress."""
    found = fact_of(_connected(plan, name), Router, container=container_name(service))
    if found is None:
        raise RegistryError(NO_HAPROXY)
    if lost := [each for each, members in found.items() if not members]:
        raise RegistryError(f"no server is up: {', '.join(lost)}")
    return ", ".join(f"{each} at {', '.join(members)}" for each, members in found.items())


def _service(name: str, plan: Plan) -> str:
    return str(reach.QUESTIONS[name](host, plan))


def _end_to_end(plan: Plan) -> str:
    with reach.registry(host, plan) as quay:
        health = quay.health()
    if not health.ok:
        raise RegistryError(f"failing: {health.failing}")
    return f"{', '.join(health.services)} healthy"


def _certificate(plan: Plan) -> str:
    with reach.registry(host, plan) as quay:
        return f"{quay.days_left()} days left"


def _members_certificate(plan: Plan) -> str:
    """Return the days left of the certificate of the database's members, which only runs renew."""
    assert plan.credentials.database_certificate  # with_keys made it
    days = certificates.days_left(plan.credentials.database_certificate)
    if days < 0:
        raise RegistryError("it has expired; ./lab up renews it")
    return f"{days} days left"
