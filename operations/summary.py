"""The summary at the end of a run: what is there now, and how to use it."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from facts.engines import host_engine
from operations.runtime.phases import postpone
from operations.services.quay import health_line
from quaylab.clients.probes import Unreachable
from quaylab.clients.registry import RegistryError
from quaylab.model import LOOPBACK
from quaylab.plan import Plan
from quaylab.versions import MYSQL_REASON, is_legacy

STANDIN = (
    "No distribution packages Quay, so a stand-in of Quaylab's own answers in its place, by Quay's "
    "contract. PostgreSQL or MariaDB, Redis and the blobs are real."
)


@operation()
def printed(plan: Plan) -> Generator[PyinfraCommand]:
    """Print address, superuser, credentials, health and versions. It changes nothing.

    + plan: the run's plan
    """
    if postpone("printed when the run comes to it"):
        return
    # stderr, beside pyinfra's own output: stdout may hold --json.
    Console(stderr=True, highlight=False).print(_panel(plan))
    host.noop("the summary was printed")
    yield from ()


def _panel(plan: Plan) -> Panel:
    rows = _legacy_rows(plan) if is_legacy(plan.version) else _rows(plan)
    return panel("Quay stand-in: not Quay" if plan.has_standin else f"Quay {plan.version}", rows)


def panel(title: str, rows: Iterable[tuple[str, str]]) -> Panel:
    """Return a summary's frame, with a line for each name and its value."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(f"[bold]{name}[/bold]", value)
    return Panel(table, title=title, title_align="left", expand=False)


def _rows(plan: Plan) -> list[tuple[str, str]]:
    settings, topology, engine = plan.settings, plan.topology, host_engine()
    try:
        health = health_line(host, plan)
    except (RegistryError, Unreachable) as error:
        health = f"[red]{error}[/red]"
    rows = [
        ("Address", topology.url),
        ("Superuser", f"{settings.quay_superuser}, password in {plan.store.path}"),
        (
            "Reach it",
            f"clients without DNS need in /etc/hosts: {_address(plan)} {topology.hostname}",
        ),
        ("Log in", engine.login_command(settings.quay_superuser, topology.registry)),
    ]
    if plan.certificate.ca:
        trust = engine.trust(topology.registry)
        trusted = f"{plan.store.ca_path}; {engine.title} clients trust it as {trust}"
        rows.append(("CA", trusted))
    rows += [
        ("Version", plan.version),
        ("Health", health),
        ("Verified", "login, push, pull and delete of an image over TLS"),
    ]
    if settings.database_engine == "mysql" and settings.quay_version is None:
        rows.append(("Why not newer", MYSQL_REASON))
    if plan.has_standin:
        rows.append(("[yellow]Not Quay[/yellow]", STANDIN))
    return rows


def _address(plan: Plan) -> str:
    """Return the address at which clients reach the registry's host, if it is known."""
    reported = plan.machines[host.name].addresses
    known = plan.topology.front
    if known == LOOPBACK:
        known = reported[0] if len(reported) == 1 else "ADDRESS-OF-HOST"
    return known


def _legacy_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return what to type into the set-up page of Quay 2.9, and where the passwords are."""
    settings, topology = plan.settings, plan.topology
    return [
        ("[yellow]Set-up is not done[/yellow]", "Quay 2.9 is set up by hand in its browser wizard"),
        ("Open", f"http://{topology.hostname}:{settings.quay_http_port}/setup"),
        ("Database type", settings.database_engine),
        ("Database server", f"{topology.database.address}:{topology.database.port}"),
        ("User, database", f"{settings.database_user}, {settings.database_name}"),
        ("Redis", f"{topology.redis.address}:{topology.redis.port}"),
        (
            "Passwords",
            f"database_password, redis_password, superuser_password in {plan.store.path}",
        ),
        ("Superuser", f"{settings.quay_superuser}, {settings.quay_superuser_email}"),
    ]
