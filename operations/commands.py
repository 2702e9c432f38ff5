"""Pieces of commands that operations share."""

from __future__ import annotations

from typing import Any

from pyinfra import logger
from pyinfra.api import Host, QuoteString, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS


def fail(message: str) -> StringCommand:
    """A command that fails with one line: the only way to stop a running deploy without a
    traceback."""
    return StringCommand("printf '%s\\n'", QuoteString(message), ">&2; exit 1")


def complain(host: Host, message: str) -> bool:
    """Fail a function command in one line; an exception there would print a traceback."""
    host.log_styled(message, fg="red", log_func=logger.error)
    return False


def read_secret(host: Host, path: str) -> str | None:
    """A file's text, read past the facts, whose output -vvv prints; None if it isn't there."""
    command = StringCommand("cat", QuoteString(path))
    ok, output = host.run_shell_command(command, **connector_arguments(host))
    return output.stdout + "\n" if ok else None


def connector_arguments(host: Host) -> dict[str, Any]:
    """sudo and the like, as the current operation was told."""
    told = dict(host.current_op_global_arguments or {})
    return {key: told[key] for key in CONNECTOR_ARGUMENT_KEYS if key in told}


def quoted(*words: str) -> StringCommand:
    """Words, each quoted for the shell."""
    return StringCommand(*(QuoteString(word) for word in words))
