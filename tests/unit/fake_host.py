"""A host in the tests of operations: it answers facts from a table, and runs nothing."""

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
    """``facts`` by class; one that is not there is at its default. ``noops`` are the reasons,
    ``told`` what was logged, and ``asked`` the arguments of the facts. The run that it is in is
    ``executing``, else it is only planned."""

    current_op_global_arguments: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self, facts: dict[type[FactBase[Any]], Any] | None = None, name: str = "quay.example.com"
    ) -> None:
        self.name = name
        self.executing = True
        self.facts = facts or {}
        self.noops: list[str] = []
        self.told: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.connector: object = None
        self.shell_output: tuple[bool, list[str]] = (True, [])

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        names = inspect.signature(fact().command).parameters
        self.asked.append({**dict(zip(names, values, strict=False)), **arguments})
        return self.facts[fact] if fact in self.facts else fact().default()

    def noop(self, reason: str) -> None:
        self.noops.append(reason)

    def log_styled(self, message: str, **style: Any) -> None:
        self.told.append(message)

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        ok, lines = self.shell_output
        return ok, CommandOutput([OutputLine("stdout", line) for line in lines])

    @contextmanager
    def current(self) -> Iterator[None]:
        """As pyinfra's ``host``, which operations import."""
        run = SimpleNamespace(is_executing=self.executing)
        with ctx_host.use(self), ctx_state.use(run):
            yield

    def operate(
        self, operation: Callable[..., Any], **arguments: Any
    ) -> list[StringCommand | FunctionCommand | PyinfraCommand]:
        """The commands that an operation yields here."""
        with self.current():
            inner: Callable[..., Iterable[Any]] = getattr(operation, "_inner")  # noqa: B009
            return list(inner(**arguments))

    def call(self, command: object) -> bool:
        """What pyinfra does with a function that an operation yields; whether it succeeded."""
        assert isinstance(command, FunctionCommand)
        with self.current():
            return bool(command.function(None, self, *command.args))

    def shell(self, operation: Callable[..., Any], **arguments: Any) -> list[str]:
        """Those commands as the shell gets them."""
        return [text(command) for command in self.operate(operation, **arguments)]


def text(command: object) -> str:
    assert isinstance(command, StringCommand)
    return str(command.get_raw_value())


def stdin(command: object) -> str:
    """What a command gets through its standard input."""
    assert isinstance(command, StringCommand)
    given = command.connector_arguments["_stdin"]
    return given if isinstance(given, str) else "".join(given)
