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
from pyinfra.api.facts import FactBase
from pyinfra.context import ctx_host

from quaylab.problems import Refusal
from quaylab.settings.loading import HostInput

LOCK = "/run/quaylab.lock"
LOCK_TIMEOUT = 1800  # seconds: an image may be built over a slow line
LOCKED = 200  # an exit status that no command has


def fail(message: str) -> StringCommand:
    """Return a command that prints one line and fails. Only a failed command stops a running deploy
    without a traceback."""
    return StringCommand("printf '%s\\n'", QuoteString(message), ">&2; exit 1")


def receive(content: bytes, path: StringCommand | QuoteString) -> StringCommand:
    """Return a command that writes this content to a file, from its standard input.

    The caller sends the content :func:`encoded`. The command reads just that many bytes and fails
    if some are missing: when the run is killed, the command only sees the end of its input.
    """
    read = f"head -c {len(encoded(content))} | base64 -d >"
    return StringCommand(read, path, '&& test "$(stat -c %s', path, f')" = {len(content)}')


def encoded(content: bytes) -> str:
    """Return content in the form that :func:`receive` reads from ``_stdin``."""
    return base64.encodebytes(content).decode()


def one_at_a_time(command: StringCommand) -> StringCommand:
    """Return a command that waits until no other one with this lock runs on the host.

    The command of a killed run goes on there for a while: it may hold apt's locks, or build the
    image that this run needs. If it takes too long, the returned command says so and fails.
    """
    message = (
        f"this run has waited {LOCK_TIMEOUT // 60} minutes for a command of a killed run, which "
        f"still works on this host; wait until it has ended (flock {LOCK} true), and run this again"
    )
    # --close: daemons that the command starts must not inherit the lock.
    return StringCommand(
        f"{{ flock --close --timeout {LOCK_TIMEOUT} --conflict-exit-code {LOCKED} {LOCK} sh -c",
        QuoteString(command), f"|| {{ test $? != {LOCKED} || printf '%s\\n'",
        QuoteString(message), ">&2; false; }; }",
    )  # fmt: skip


def apt_install(*packages: StringCommand | str) -> StringCommand:
    """Return a command that installs Debian packages without their recommendations. It first
    configures packages that a killed run left half-installed."""
    return one_at_a_time(
        StringCommand(
            "export DEBIAN_FRONTEND=noninteractive; dpkg --configure --pending &&",
            "apt-get update --quiet=2 &&",
            "apt-get install --quiet=2 --yes --no-install-recommends", *packages, ">/dev/null",
        )
    )  # fmt: skip


def complain(host: Host, message: str) -> bool:
    """Print one line and return False: so a function command fails without a traceback."""
    host.log_styled(message, fg="red", log_func=logger.error)
    return False


def read_secret(host: Host, path: str) -> str | None:
    """Return a file's text, or None if it isn't there. Not by a fact: -vvv prints its output."""
    command = StringCommand("cat", QuoteString(path))
    ok, output = host.run_shell_command(command, **connector_arguments(host))
    return output.stdout + "\n" if ok else None


def host_inputs(hosts: Iterable[Host]) -> list[HostInput]:
    """Convert pyinfra's hosts to the core's input."""
    return [
        # pyinfra has no type on dict()
        HostInput(each.name, tuple(each.groups), each.data.dict())  # type: ignore[no-untyped-call]
        for each in hosts
    ]


def fact_of(host: Host, fact: type[FactBase[Any]], **arguments: Any) -> Any:
    """Return a fact of any host that takes part in the run, not only of the current one."""
    with ctx_host.use(host):
        return host.get_fact(fact, **arguments)


def connector_arguments(host: Host) -> dict[str, Any]:
    """Return sudo and the like as the current operation has them."""
    arguments = dict(host.current_op_global_arguments or {})
    return {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS if key in arguments}


def inventory_arguments(host: Host) -> dict[str, Any]:
    """Return sudo and the like as inventory and command line set them, outside of operations."""
    arguments: Mapping[str, Any] = pop_global_arguments(state, host, {})[0]
    return {key: arguments[key] for key in CONNECTOR_ARGUMENT_KEYS if key in arguments}


@contextmanager
def refusals() -> Iterator[None]:
    """Turn a refusal into ``DeployError``, which pyinfra prints without a traceback."""
    try:
        yield
    except Refusal as refusal:
        raise DeployError(str(refusal)) from None


def quoted(*words: str) -> StringCommand:
    """Quote each word for the shell."""
    return StringCommand(*(QuoteString(word) for word in words))


def ask_at_terminal() -> Callable[[str], str] | None:
    """Return a function that asks for a secret; None without a terminal."""
    return _ask if sys.stdin.isatty() else None


def _ask(prompt: str) -> str:
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise Refusal([f"{prompt}no answer was given at the terminal"]) from None
