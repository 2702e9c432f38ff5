"""Which output of a session is the command's; see tests/machine/test_logins.py as well."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest
from paramiko import SSHException
from pyinfra.api import StringCommand
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from operations.runtime.ssh import MARK, Ssh, command_output


def _command_output(*lines: str) -> list[str]:
    """Return the command's lines; those of standard error begin with !."""
    given = [
        OutputLine("stderr", line[1:]) if line[:1] == "!" else OutputLine("stdout", line)
        for line in lines
    ]
    output = command_output(CommandOutput(given))
    return [f"{'!' if line.buffer_name == 'stderr' else ''}{line.line}" for line in output]


@pytest.mark.parametrize(
    ("lines", "expected"),
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
def test_output_begins_at_the_mark(lines: tuple[str, ...], expected: list[str]) -> None:
    assert _command_output(*lines) == expected


@pytest.mark.parametrize(("active", "error"), [(False, SSHException), (True, EOFError)])
def test_a_connection_that_has_ended(
    active: bool, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko may raise the same error that a prompt without a terminal raises."""

    def ended(*_: object, **__: object) -> NoReturn:
        raise EOFError

    monkeypatch.setattr(SSHConnector, "run_shell_command", ended)
    connector = Ssh.__new__(Ssh)
    transport = SimpleNamespace(is_active=lambda: active)
    connector.client = cast(Any, SimpleNamespace(get_transport=lambda: transport))
    with pytest.raises(error):
        connector.run_shell_command(StringCommand("true"))
