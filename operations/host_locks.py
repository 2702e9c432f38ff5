"""A lock on each host of a run, so that runs from two folders or machines don't collide.

A process on the host holds the lock. It is at the far end of the run's own connection, so it ends
with the run. A host without a lasting connection (neither SSH nor @local) has no lock.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import Any

import gevent
from pyinfra import state
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import extract_control_arguments, make_unix_command_for_host

from operations.commands import inventory_arguments
from quaylab.locks import HOST_LOCK, holder, lock_problem
from quaylab.problems import Refusal, refuse

# The open connections and processes that hold the locks. They must not be garbage-collected.
_connections: list[object] = []


def take(hosts: Iterable[Host], identity: str) -> None:
    """Lock hosts for this process.

    Args:
        identity: the identity of this folder's own lock, which this run holds. Only its holder
            uses it, so a host's lock with this identity is left from a run that has ended, and
            is taken over.

    Raises:
        Refusal: another run holds one of them.
    """
    # The first host alone: of two runs that begin at once, one gets it and the other stops.
    first, *others = sorted(hosts, key=lambda each: each.name)
    _take(first, identity)
    jobs = [gevent.spawn(_refusal, host, identity) for host in others]
    gevent.joinall(jobs)
    refuse(problem for job in jobs for problem in job.get())


def _refusal(host: Host, identity: str) -> tuple[str, ...]:
    """Return why a host can't be locked; as an exception gevent would print it."""
    try:
        _take(host, identity)
    except Refusal as refusal:
        return refusal.problems
    return ()


def _take(host: Host, identity: str) -> None:
    if _lock(host, identity):
        return
    # sudo may need a password, which pyinfra asks for at a terminal. Otherwise the host's report,
    # which is read next, says why no command can be run.
    if _runs_commands(host):
        _lock(host, identity)


def _lock(host: Host, identity: str) -> bool:
    """Take a host's lock; return False if the host runs no command.

    Raises:
        Refusal: another run holds it.
    """
    connector: Any = inventory_arguments(host)
    extract_control_arguments(connector)
    script = StringCommand("set --", QuoteString(identity), QuoteString(holder()), ";", HOST_LOCK)
    command = make_unix_command_for_host(state, host, script, **connector).get_raw_value()
    for line in _start(host, command):
        problem = lock_problem(line)
        if problem:
            raise Refusal([f"{host.name}: {problem}"])
        if problem is not None:
            return True
    return not isinstance(host.connector, (SSHConnector, LocalConnector))


def _runs_commands(host: Host) -> bool:
    """Return whether the host runs commands, after asking for sudo's password if it needs one."""
    try:
        return host.run_shell_command(StringCommand("true"), **inventory_arguments(host))[0]
    except EOFError:  # there is no terminal
        return False


def _start(host: Host, command: str) -> Iterable[str]:
    """Start a command that runs as long as this process, and return its output."""
    connector = host.connector
    if isinstance(connector, SSHConnector) and connector.client:
        streams = connector.client.exec_command(command)
        _connections.append(streams)
        return streams[1]
    if isinstance(connector, LocalConnector):
        process = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _connections.append(process)
        assert process.stdout
        return process.stdout
    return ()
