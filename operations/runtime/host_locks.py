"""A lock on each host of a run, so that runs from two folders or machines don't collide.

A process on the host holds the lock. It is at the far end of the run's own connection, so it ends
with the run. A host without a lasting connection (neither SSH nor @local) has no lock.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

import gevent
from pyinfra import state
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import extract_control_arguments, make_unix_command_for_host

from operations.runtime.commands import inventory_arguments
from quaylab.locks import HOST_LOCK, holder, lock_problem
from quaylab.problems import Refusal, refuse

# The open connections and processes that hold the locks. They must not be garbage-collected.
_connections: list[object] = []
# The identity with which this run has locked hosts, by their names.
_identities: dict[str, str] = {}


def take(hosts: Iterable[Host], identity: str, command: str) -> dict[str, Iterator[str]]:
    """Lock hosts for this process, and start a command on each in the same round trip.

    Args:
        identity: the identity of this folder's own lock, which this run holds. Only its holder
            uses it, so a host's lock with this identity is left from a run that has ended, and
            is taken over.
        command: a shell command, which reads nothing.

    Returns:
        For each host the lines from which :func:`quaylab.locks.output` reads what the command
        prints.

    Raises:
        Refusal: another run holds one of them.
    """
    # The first host alone: of two runs that begin at once, one gets it and the other stops.
    first, *others = sorted(hosts, key=lambda each: each.name)
    following = {first.name: _take(first, identity, command)}
    jobs = [gevent.spawn(_attempt, host, identity, command) for host in others]
    gevent.joinall(jobs)
    problems: list[str] = []
    for host, job in zip(others, jobs, strict=True):
        lines = job.get()
        if isinstance(lines, Refusal):
            problems += lines.problems
        else:
            following[host.name] = lines
    refuse(problems)
    return following


def take_again(host: Host) -> str | None:
    """Lock a host that this run had locked before it was rebooted; return why it can't be."""
    if identity := _identities.get(host.name):
        found = _attempt(host, identity, ":")
        return found.problems[0] if isinstance(found, Refusal) else None
    return None


def _attempt(host: Host, identity: str, command: str) -> Iterator[str] | Refusal:
    """Take a host's lock; return a refusal, which gevent would print as an exception."""
    try:
        return _take(host, identity, command)
    except Refusal as refusal:
        return refusal


def _take(host: Host, identity: str, command: str) -> Iterator[str]:
    """Take a host's lock, and return the lines that follow; none if it has no lock."""
    _identities[host.name] = identity
    lines = _lock(host, identity, command)
    # sudo may need a password, which pyinfra asks for at a terminal. Otherwise the host's report,
    # which is read next, says why no command can be run.
    if lines is None and _runs_commands(host):
        lines = _lock(host, identity, command)
    return lines or iter(())


def _lock(host: Host, identity: str, command: str) -> Iterator[str] | None:
    """Take a host's lock, and return the lines that follow; None if the host runs no command.

    Raises:
        Refusal: another run holds it.
    """
    connector: Any = inventory_arguments(host)
    extract_control_arguments(connector)
    values = (QuoteString(each) for each in (identity, holder(), command))
    script = StringCommand("set --", *values, ";", HOST_LOCK)
    lines = _start(host, make_unix_command_for_host(state, host, script, **connector))
    for line in lines:
        problem = lock_problem(line)
        if problem:
            raise Refusal([f"{host.name}: {problem}"])
        if problem is not None:
            return lines
    return None


def _runs_commands(host: Host) -> bool:
    """Return whether the host runs commands, after asking for sudo's password if it needs one."""
    try:
        return host.run_shell_command(StringCommand("true"), **inventory_arguments(host))[0]
    except EOFError:  # there is no terminal
        return False


def _start(host: Host, command: StringCommand) -> Iterator[str]:
    """Start a command that runs as long as this process, and return its output."""
    # Without exec the shell would stay, with sudo's password among its arguments: pyinfra hands it
    # over as an argument of env, whose place sudo takes.
    connector, text = host.connector, f"exec {command.get_raw_value()}"
    if isinstance(connector, SSHConnector) and connector.client:
        streams = connector.client.exec_command(text)
        _connections.append(streams)
        return iter(streams[1])
    if isinstance(connector, LocalConnector):
        process = subprocess.Popen(
            ["sh", "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _connections.append(process)
        assert process.stdout
        return iter(process.stdout)
    return iter(())
