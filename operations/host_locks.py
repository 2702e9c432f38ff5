"""A lock on each host that a run works on: two folders with the same credentials may not collide.

It is held by a process on the host, at the far end of the run's own connection, and so ends with
the run. A host whose connector keeps no connection has none.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

from pyinfra import state
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import extract_control_arguments, make_unix_command_for_host

from quaylab.locks import HOST_LOCK, holder, told
from quaylab.problems import Problems, Refusal

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
    problems = Problems()
    # In one order for all, or two runs that begin at once would refuse each other.
    for host in sorted(hosts, key=lambda each: each.name):
        with problems.collecting():
            _take(host, identity)
    if problems:
        raise Refusal(problems)


def _take(host: Host, identity: str) -> None:
    arguments: Mapping[str, Any] = pop_global_arguments(state, host, {})[0]
    connector: Any = {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS if key in arguments}
    if not _lets_in(host, connector):
        return  # its report, which is read next, will tell why
    extract_control_arguments(connector)
    script = StringCommand("set --", QuoteString(identity), QuoteString(holder()), ";", HOST_LOCK)
    command = make_unix_command_for_host(state, host, script, **connector).get_raw_value()
    for line in _answer(host, command):
        if problem := told(line):
            raise Refusal([f"{host.name}: {problem}"])
        if problem == "":
            return


def _lets_in(host: Host, connector: Mapping[str, Any]) -> bool:
    """Whether commands can be run there; sudo's password is asked for if it wants one."""
    try:
        return host.run_shell_command(StringCommand("true"), **connector)[0]
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
