"""A lock on each host that a run works on: two folders with the same credentials may not collide.

It is held by a process on the host, at the far end of the run's own connection, and so ends with
the run. A host whose connector keeps no connection has none.
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

# What holds the locks; it ends when these are collected.
_holding: list[object] = []


def take(hosts: Iterable[Host], identity: str) -> None:
    """Lock hosts for this process.

    Args:
        identity: of this folder's own lock, which is held: a run of the same identity has ended,
            and what its connection may have left on a host is taken over.

    Raises:
        Refusal: another run holds one of them.
    """
    # The first before the others: of two runs that begin at once one gets it, and the other stops.
    first, *others = sorted(hosts, key=lambda each: each.name)
    _take(first, identity)
    jobs = [gevent.spawn(_refusal, host, identity) for host in others]
    gevent.joinall(jobs)
    refuse(problem for job in jobs for problem in job.get())


def _refusal(host: Host, identity: str) -> tuple[str, ...]:
    """Why a host can't be locked: gevent would print an exception."""
    try:
        _take(host, identity)
    except Refusal as refusal:
        return refusal.problems
    return ()


def _take(host: Host, identity: str) -> None:
    if _is_locked(host, identity):
        return
    # sudo wants a password, for which pyinfra asks at a terminal; else the host's report, which is
    # read next, will tell why it lets nobody in.
    if _lets_in(host):
        _is_locked(host, identity)


def _is_locked(host: Host, identity: str) -> bool:
    """Take a host's lock; False if it runs no command.

    Raises:
        Refusal: another run holds it.
    """
    connector: Any = inventory_arguments(host)
    extract_control_arguments(connector)
    script = StringCommand("set --", QuoteString(identity), QuoteString(holder()), ";", HOST_LOCK)
    command = make_unix_command_for_host(state, host, script, **connector).get_raw_value()
    for line in _answer(host, command):
        problem = lock_problem(line)
        if problem:
            raise Refusal([f"{host.name}: {problem}"])
        if problem is not None:
            return True
    return not isinstance(host.connector, (SSHConnector, LocalConnector))


def _lets_in(host: Host) -> bool:
    """Whether commands can be run there; sudo's password is asked for if it wants one."""
    try:
        return host.run_shell_command(StringCommand("true"), **inventory_arguments(host))[0]
    except EOFError:  # there is no terminal
        return False


def _answer(host: Host, command: str) -> Iterable[str]:
    """What a command says that goes on for as long as this process."""
    connector = host.connector
    if isinstance(connector, SSHConnector) and connector.client:
        streams = connector.client.exec_command(command)
        _holding.append(streams)
        return streams[1]
    if isinstance(connector, LocalConnector):
        process = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _holding.append(process)
        assert process.stdout
        return process.stdout
    return ()
