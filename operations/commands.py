"""Pieces of commands that operations share."""

from __future__ import annotations

import base64
import getpass
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyinfra import logger, state
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.exceptions import DeployError

from quaylab.problems import Refusal
from quaylab.settings.loading import HostInput

LOCK = "/run/quaylab.lock"
PATIENCE = 1800  # seconds: images are built over slow lines as well


def fail(message: str) -> StringCommand:
    """A command that fails with one line: the only way to stop a running deploy without a
    traceback."""
    return StringCommand("printf '%s\\n'", QuoteString(message), ">&2; exit 1")


def receive(content: bytes, path: StringCommand | QuoteString) -> StringCommand:
    """A command that writes its standard input, or of that what is :func:`encoded` of this content,
    to a file.

    It fails if some of it is missing: for a command, the death of the run that feeds it looks like
    the end of its input.
    """
    taken = f"head -c {len(encoded(content))} | base64 -d >"
    return StringCommand(taken, path, '&& test "$(stat -c %s', path, f')" = {len(content)}')


def encoded(content: bytes) -> str:
    """The ``_stdin`` of a command that begins with :func:`receive`."""
    return base64.encodebytes(content).decode()


def one_at_a_time(command: StringCommand) -> StringCommand:
    """A command that waits for others of its kind on the host. A killed run's goes on there for a
    while, holding apt's locks, or building what this run would build as well."""
    # --close: daemons that the command starts must not inherit the lock.
    return StringCommand(f"flock --close --timeout {PATIENCE} {LOCK} sh -c", QuoteString(command))


def apt_installed(*packages: StringCommand | str) -> StringCommand:
    """A command that installs Debian's packages without what they recommend, after finishing what
    a killed run may have left half-installed."""
    return one_at_a_time(
        StringCommand(
            "export DEBIAN_FRONTEND=noninteractive; dpkg --configure --pending &&",
            "apt-get update --quiet=2 &&",
            "apt-get install --quiet=2 --yes --no-install-recommends", *packages, ">/dev/null",
        )
    )  # fmt: skip


def complain(host: Host, message: str) -> bool:
    """Fail a function command in one line; an exception there would print a traceback."""
    host.log_styled(message, fg="red", log_func=logger.error)
    return False


def read_secret(host: Host, path: str) -> str | None:
    """A file's text, read past the facts, whose output -vvv prints; None if it isn't there."""
    command = StringCommand("cat", QuoteString(path))
    ok, output = host.run_shell_command(command, **connector_arguments(host))
    return output.stdout + "\n" if ok else None


def host_inputs(hosts: Iterable[Host]) -> list[HostInput]:
    """Hosts as the core takes them."""
    return [
        # pyinfra has no type on dict()
        HostInput(each.name, tuple(each.groups), each.data.dict())  # type: ignore[no-untyped-call]
        for each in hosts
    ]


def connector_arguments(host: Host) -> dict[str, Any]:
    """sudo and the like, as the current operation was arguments."""
    arguments = dict(host.current_op_global_arguments or {})
    return {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS if key in arguments}


def inventory_arguments(host: Host) -> dict[str, Any]:
    """sudo and the like, as the inventory and the command line tell outside of any operation."""
    arguments: Mapping[str, Any] = pop_global_arguments(state, host, {})[0]
    return {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS if key in arguments}


@contextmanager
def refusals() -> Iterator[None]:
    """Turns a refusal into ``DeployError``, which pyinfra prints as it is."""
    try:
        yield
    except Refusal as refusal:
        raise DeployError(str(refusal)) from None


def quoted(*words: str) -> StringCommand:
    """Words, each quoted for the shell."""
    return StringCommand(*(QuoteString(word) for word in words))


def ask_at_terminal() -> Callable[[str], str] | None:
    """How to ask for a secret; None without a terminal."""
    return _ask if sys.stdin.isatty() else None


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise Refusal([f"{prompt}no answer was given at the terminal"]) from None
