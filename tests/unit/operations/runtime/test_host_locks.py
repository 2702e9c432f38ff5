"""The process that holds a host's lock."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api import StringCommand
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.connectors.util import make_unix_command

from operations.runtime import host_locks
from tests.unit.shell import Shell

PASSWORD = "sudos-password-1Fq"
# The lock's command begins like this; it then runs until its standard input ends.
SCRIPT = "echo begun; cat >/dev/null"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that hold a lock; they end with the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        assert process.stdin
        process.stdin.close()
        process.wait(10)


class _Session:
    """A client of SSH: the server's side runs a command by the user's shell, as sshd does."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self.processes = processes

    def exec_command(self, text: str) -> tuple[Any, Any, Any]:
        process = subprocess.Popen(
            ["sh", "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process.stdin, process.stdout, None


@pytest.mark.parametrize("kind", [LocalConnector, SSHConnector])
def test_sudos_password_is_in_no_argument(
    kind: type[Any],
    shell: Shell,
    processes: list[subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every user of the host sees arguments, for as long as the run lasts."""
    # As sudo, it stays for as long as its command, and shows that it got the password.
    passes = 'while [ "$1" != sh ]; do shift; done; echo "$PYINFRA_SUDO_PASSWORD"'
    shell.stub("sudo", f'{passes}; env -u PYINFRA_SUDO_PASSWORD "$@"; exit')
    monkeypatch.setenv("PATH", f"{shell.stubs}:/usr/bin:/bin")
    kept: list[object] = []
    monkeypatch.setattr(host_locks, "_connections", kept)
    connector: Any = object.__new__(kind)
    connector.client = _Session(processes)
    command = make_unix_command(
        # Two commands: no shell may take the last one's place before it has begun.
        StringCommand(f"{SCRIPT}; :"),
        _sudo=True,
        _sudo_password=PASSWORD,
        _sudo_askpass_path="/tmp/askpass",
    )
    lines = host_locks._start(cast(Any, SimpleNamespace(connector=connector)), command)
    processes += [each for each in kept if isinstance(each, subprocess.Popen)]
    assert [next(lines).strip(), next(lines).strip()] == [PASSWORD, "begun"]
    shown = {path: _arguments(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    assert any(SCRIPT in arguments for arguments in shown.values())
    assert not [path for path, arguments in shown.items() if PASSWORD in arguments]


def _arguments(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""
