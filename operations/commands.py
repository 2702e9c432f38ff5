"""Pieces of commands that operations share."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand


def fail(message: str) -> StringCommand:
    """A command that fails with one line: the only way to stop a running deploy without a
    traceback."""
    return StringCommand("printf '%s\\n'", QuoteString(message), ">&2; exit 1")


def quoted(*words: str) -> StringCommand:
    """Words, each quoted for the shell."""
    return StringCommand(*(QuoteString(word) for word in words))
