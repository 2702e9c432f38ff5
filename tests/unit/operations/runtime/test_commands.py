"""Pieces of commands: those that wait for what a killed run has left working on the host."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyinfra.api import StringCommand

from operations.runtime import commands
from operations.runtime.commands import one_at_a_time
from tests.unit.shell import Shell


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(commands, "LOCK", str(tmp_path / "lock"))
    return tmp_path / "lock"


@pytest.fixture
def held(lock: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A killed run's command holds the lock, and nobody waits for it."""
    monkeypatch.setattr(commands, "LOCK_TIMEOUT", 0)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_command_that_waited_in_vain_says_for_what(shell: Shell, held: None) -> None:
    done = shell.run(one_at_a_time(StringCommand("echo done")))
    assert done.returncode != 0
    assert done.stdout == ""
    assert "a command of a killed run, which still works on this host; wait until" in done.stderr


@pytest.mark.parametrize("command", ["true", "false", "exit 1", "exit 7"])
def test_a_command_that_fails_by_itself_is_not_blamed_on_another(
    shell: Shell, lock: Path, command: str
) -> None:
    done = shell.run(one_at_a_time(StringCommand(command)))
    assert (done.returncode == 0) is (command == "true")
    assert done.stderr == ""
