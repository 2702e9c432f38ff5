"""What of a session's output is the command's own; for real in tests/machine/test_logins.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from paramiko import SSHException
from pyinfra.api import StringCommand
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from operations.ssh import MARK, Ssh, command_output


def _own(*lines: str) -> list[str]:
    """Lines of standard error begin with !."""
    given = [
        OutputLine("stderr", line[1:]) if line[:1] == "!" else OutputLine("stdout", line)
        for line in lines
    ]
    kept = command_output(CommandOutput(given))
    return [f"{'!' if line.buffer_name == 'stderr' else ''}{line.line}" for line in kept]


@pytest.mark.parametrize(
    ("lines", "own"),
    [
        ((MARK, "a", "b"), ["a", "b"]),
        (("Welcome", MARK, "a"), ["a"]),
        (("uid 7", f"no end{MARK}", "uid 0"), ["uid 0"]),
        ((MARK,), []),
        (("!warning", "Welcome", MARK, "!wrong", "a"), ["!warning", "!wrong", "a"]),
        (("a", f"!{MARK}"), ["a", f"!{MARK}"]),
        (("!sudo: a password is required",), ["!sudo: a password is required"]),
        ((MARK, "a", MARK), ["a", MARK]),
        ((), []),
    ],
)
def test_output_begins_at_the_mark(lines: tuple[str, ...], own: list[str]) -> None:
    assert _own(*lines) == own


@pytest.mark.parametrize(("active", "error"), [(False, SSHException), (True, EOFError)])
def test_a_connection_that_has_ended(
    active: bool, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko may tell it by the error that a question without a terminal ends in, too."""

    def ended(*_: object, **__: object) -> NoReturn:
        raise EOFError

    monkeypatch.setattr(SSHConnector, "run_shell_command", ended)
    connector = Ssh.__new__(Ssh)
    transport = SimpleNamespace(is_active=lambda: active)
    connector.client = cast(Any, SimpleNamespace(get_transport=lambda: transport))
    with pytest.raises(error):
        connector.run_shell_command(StringCommand("true"))
