"""Refuse mistakes that pyinfra accepts with exit status 0; docs/pyinfra.md has the list.

config.py calls it, because pyinfra reads that file before the inventory and before it connects, and
reads nothing else if no host is left.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import click
from pyinfra.api import Config, Host, Inventory, State
from pyinfra.api.arguments import all_global_arguments
from pyinfra.api.connectors import get_all_connectors
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.util import raise_if_bad_type
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import ctx_state
from pyinfra_cli import cli as pyinfra_cli  # type: ignore[import-untyped]
from pyinfra_cli import inventory as pyinfra_inventory
from pyinfra_cli.exceptions import UnexpectedExternalError  # type: ignore[import-untyped]
from pyinfra_cli.util import exec_file  # type: ignore[import-untyped]

from operations.runtime.commands import host_inputs
from operations.runtime.interrupts import Interrupts
from operations.runtime.ssh import Ssh
from quaylab.checks import command_line, inventory_file, pyinfra_data
from quaylab.problems import Refusal, refuse
from quaylab.settings.loading import HostInput


def guard() -> None:
    """Check command line and inventory file now, and the inventory's hosts once they are read.

    Raises ``PyinfraError`` with all problems at once.
    """
    signal.signal(signal.SIGINT, Interrupts.handle)
    pyinfra_inventory.exec_file = _exec_file
    pyinfra_cli._do_confirm = partial(_confirm, pyinfra_cli._do_confirm)
    options = click.get_current_context().params
    _refuse(_command_line_problems(options))
    _check_hosts(ctx_state.get(), options)  # type: ignore[no-untyped-call]


def _command_line_problems(options: dict[str, Any]) -> Iterator[str]:
    yield from command_line.option_problems(options)
    given = Path(options["inventory"])
    # Otherwise it is a host, a list of hosts, or a connector's.
    named_as_file = given.suffix == ".py" or ("/" in str(given) and "@" not in str(given))
    if named_as_file or given.exists():
        yield from inventory_file.problems(given)


def _exec_file(filename: str, **options: Any) -> Any:
    """Execute an inventory or a file of group_data as pyinfra does; report a failure in one line.

    pyinfra itself would print a traceback, or end the run with the status of the file's exit.
    """
    try:
        values = exec_file(filename, **options)
    except PyinfraError:
        raise
    except (Exception, SystemExit) as error:
        if Interrupts.received:
            raise
        cause = error.exception if isinstance(error, UnexpectedExternalError) else error
        raise PyinfraError(inventory_file.failure(filename, cause)) from None
    if filename == click.get_current_context().params["inventory"]:
        _refuse(inventory_file.value_problems(values))
    return values


def _confirm(ask: Callable[[str], bool], question: str) -> bool:
    """Ask as pyinfra does; end the run in one line if there is no terminal.

    Args:
        ask: pyinfra's own function, which would end in a traceback.
    """
    try:
        return ask(question)
    except EOFError:
        raise PyinfraError(
            "-y: nobody answers the question above, so the run ends here; with -y it asks nothing, "
            "and ends if a host fails"
        ) from None


def _check_hosts(state: State, options: dict[str, Any]) -> None:
    """Wrap pyinfra's initialisation: it has no callback before it connects to the hosts."""
    initialise = state.init

    def initialise_checked(
        inventory: Inventory, config: Config, initial_limit: list[Host] | None
    ) -> None:
        hosts = host_inputs(inventory)
        selected = len(hosts if initial_limit is None else initial_limit)
        types = _data_types()
        _refuse(
            [
                *(() if hosts else [f"{options['inventory']}: has no host"]),
                *command_line.limit_problems(hosts, options, selected),
                *command_line.action_problems(hosts, options["operations"]),
                *inventory_file.group_problems(hosts, inventory.group_data),
                *(line for host in hosts for line in _key_problems(host, types)),
            ]
        )
        for host in inventory:
            if host.connector_cls is SSHConnector:
                host.connector_cls = Ssh
        initialise(inventory, config, initial_limit=initial_limit)
        state.add_callback_handler(Interrupts())  # type: ignore[no-untyped-call]

    state.init = initialise_checked  # type: ignore[method-assign, assignment]


def _data_types() -> dict[str, Any]:
    """Return the types of all host data that pyinfra and its connectors read, by key."""
    types = dict(all_global_arguments())
    for connector in get_all_connectors().values():  # type: ignore[no-untyped-call]
        types |= get_type_hints(connector.data_cls) if hasattr(connector, "data_cls") else {}
    return types


def _key_problems(host: HostInput, types: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of host data that pyinfra would ignore or misunderstand."""
    yield from pyinfra_data.problems(host, types)
    for key in types.keys() & host.data.keys():
        if host.data[key] is not None:
            try:
                # The message has types only: the value may be a password.
                raise_if_bad_type(host.data[key], types[key], TypeError, f"{key}: of {host.name}")
            except TypeError as error:
                yield str(error)


def _refuse(problems: Iterable[str]) -> None:
    try:
        refuse(problems)
    except Refusal as refusal:
        raise PyinfraError(str(refusal)) from None
