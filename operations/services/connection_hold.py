"""Clients' new connections wait in front of the balancers while something moves elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import gevent
from paramiko import SSHException
from pyinfra.api import Host, StringCommand

from operations.runtime.commands import inventory_arguments
from operations.services import balancers
from quaylab.plan import Plan
from quaylab.services.connection_hold import Hold


@contextmanager
def new_connections_held(plan: Plan) -> Iterator[None]:
    """Hold clients' new connections at the connected balancers during the block, which begins when
    the open ones have ended."""
    settings, name = plan.settings, secrets.token_hex(4)
    ports = (settings.quay_https_port, settings.quay_http_port)
    holds = {
        each: Hold(
            ports,
            settings.virtual_address,
            name,
            *balancers.hold_commands(each, plan.nodes),
        )
        for each in balancers.connected(plan)
    }
    try:
        _run({each: hold.begin for each, hold in holds.items()})
        _run({each: hold.wait for each, hold in holds.items()})
        yield
    finally:
        _run({each: hold.end for each, hold in holds.items()})


def _run(commands: Mapping[Host, str]) -> None:
    """Run a command on each host, on all at once. One that can't be reached is left out: there the
    hold ends by itself."""
    gevent.joinall([gevent.spawn(_try, each, command) for each, command in commands.items()])


def _try(each: Host, command: str) -> None:
    with suppress(OSError, EOFError, SSHException):
        each.run_shell_command(StringCommand(command), **inventory_arguments(each))
