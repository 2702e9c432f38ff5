"""A host for tests of operations: it answers facts from a table, and runs nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput, OutputLine
from pyinfra.context import ctx_host, ctx_state


class FakeHost:
    """A host with ``facts`` by class; others have their default. It collects the reasons of
    ``noops``, logged ``messages``, the arguments of ``asked`` facts, and the commands that
    functions ``ran``, which all get ``shell_output``. Its run is ``executing``, or only
    planned."""

    current_op_global_arguments: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self, facts: dict[type[FactBase[Any]], Any] | None = None, name: str = "quay.example.com"
    ) -> None:
        self.name = name
        self.executing = True
        self.facts = facts or {}
        self.noops: list[str] = []
        self.messages: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.ran: list[str] = []
        self.connector: object = None
        self.shell_output: tuple[bool, list[str]] = (True, [])

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        names = inspect.signature(fact().command).parameters
        self.asked.append({**dict(zip(names, values, strict=False)), **arguments})
        return self.facts[fact] if fact in self.facts else fact().default()

    def noop(self, reason: str) -> None:
        self.noops.append(reason)

    def log_styled(self, message: str, **style: Any) -> None:
        self.messages.append(message)

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        self.ran.append(text(command))
        ok, lines = self.shell_output
        return ok, CommandOutput([OutputLine("stdout", line) for line in lines])

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make this pyinfra's current ``host``, which operations import."""
        run = SimpleNamespace(is_executing=self.executing)
        with ctx_host.use(self), ctx_state.use(run):
            yield

    def operate(
        self, operation: Callable[..., Any], **arguments: Any
    ) -> list[StringCommand | FunctionCommand | PyinfraCommand]:
        """Return the commands that an operation yields on this host."""
        with self.current():
            inner: Callable[..., Iterable[Any]] = getattr(operation, "_inner")  # noqa: B009
            return list(inner(**arguments))

    def call(self, command: object) -> bool:
        """Call a function that an operation has yielded, as pyinfra does; return its success."""
        assert isinstance(command, FunctionCommand)
        with self.current():
            return bool(command.function(None, self, *command.args))

    def shell(self, operation: Callable[..., Any], **arguments: Any) -> list[str]:
        """Return the commands that an operation yields, as the shell gets them."""
        return [text(command) for command in self.operate(operation, **arguments)]


def text(command: object) -> str:
    assert isinstance(command, StringCommand)
    return str(command.get_raw_value())


def stdin(command: object) -> str:
    """Return what a command gets on its standard input."""
    assert isinstance(command, StringCommand)
    given = command.connector_arguments["_stdin"]
    return given if isinstance(given, str) else "".join(given)
