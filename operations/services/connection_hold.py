"""Clients' new connections wait in front of the balancers while something moves elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from pyinfra.api import StringCommand

from operations.runtime.commands import inventory_arguments
from operations.services import balancers
from quaylab.plan import Plan
from quaylab.services.connection_hold import Hold


@contextmanager
def new_connections_held(plan: Plan) -> Iterator[None]:
    """Hold clients' new connections at the connected balancers during the block, which begins when
    the open ones have ended."""
    settings = plan.settings
    ports = (settings.quay_https_port, settings.quay_http_port)
    hold = Hold(ports, settings.virtual_address, secrets.token_hex(4))
    try:
        _run_on_balancers(plan, hold.begin)
        _run_on_balancers(plan, hold.wait)
        yield
    finally:
        _run_on_balancers(plan, hold.end)


def _run_on_balancers(plan: Plan, command: str) -> None:
    for each in balancers.connected(plan):
        each.run_shell_command(StringCommand(command), **inventory_arguments(each))
