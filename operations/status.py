"""The registry's status."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand
from rich.console import Console
from rich.table import Table

from facts.quay import Quay
from operations import reach
from operations.commands import fail
from operations.phases import postpone
from quaylab.clients.probes import Unreachable
from quaylab.clients.registry import RegistryError
from quaylab.plan import Plan
from quaylab.services import BY_NAME


@operation()
def printed(plan: Plan) -> Generator[PyinfraCommand]:
    """Print one line for each part, and fail if one is broken. It changes nothing.

    + plan: the run's plan
    """
    if postpone("printed when the run comes to it"):
        return
    parts: dict[str, Callable[[Plan], str]] = {
        "Quay": _node,
        **{BY_NAME[name].title: partial(_service, name) for name in plan.topology.endpoints},
        "End to end": _end_to_end,
        "Certificate": _certificate,
    }
    table = Table.grid(padding=(0, 2))
    broken = []
    for part, ask in parts.items():
        try:
            answer = ask(plan)
        except (RegistryError, Unreachable) as error:
            answer = f"[red]{error}[/red]"
            broken.append(part)
        table.add_row(f"[bold]{part}[/bold]", answer)
    # To stdout, which pyinfra doesn't use: `./lab status` shows this alone.
    Console(highlight=False).print(table)
    if broken:
        yield fail(f"broken: {', '.join(broken)}")


def _node(plan: Plan) -> str:
    """Return the state of the leader's Quay container in one line."""
    node = host.get_fact(Quay, container=plan.workload("quay", host.name).container.name)
    if node is None:
        raise RegistryError("there is no container; ./lab up brings it back")
    if not node.healthy:
        failing = ", ".join(name for name, good in node.services.items() if not good)
        raise RegistryError(f"{node.version}, not healthy: {failing or 'it does not answer'}")
    kind = " (a stand-in)" if plan.standin else ""
    return f"{node.version}{kind} at {plan.topology.url}, healthy"


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
