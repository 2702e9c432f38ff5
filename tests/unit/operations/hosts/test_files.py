"""Files: they are replaced atomically, and at no moment too many users may read them."""

from __future__ import annotations

import base64
import dataclasses
import subprocess
from pathlib import Path

import pytest

from facts.files import Files
from operations.hosts import files
from quaylab.model import FileState, ManagedFile
from tests.leaks import leaked
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.shell import Shell

SECRET = ManagedFile("/etc/quaylab/redis/environment", "PASSWORD=hunter2\n", uid=1001, mode=0o400)


def _found(**changes: object) -> FakeHost:
    state = {"uid": 1001, "gid": 0, "mode": 0o400, "sha256": SECRET.sha256, **changes}
    return FakeHost({Files: {SECRET.path: FileState(**state)}})  # type: ignore[arg-type]


def test_a_correct_file_is_left_alone() -> None:
    host = _found()
    assert host.operate(files.present, files=[SECRET]) == []
    assert host.noops == [f"{SECRET.path} is as it has to be"]


def test_a_file_with_another_content_is_written() -> None:
    (command,) = _found(sha256="0" * 64).operate(files.present, files=[SECRET])
    assert stdin(command)


@pytest.mark.parametrize("change", [{"uid": 0}, {"gid": 1}, {"mode": 0o644}], ids=str)
def test_owner_and_mode_are_repaired_in_place(change: dict[str, object]) -> None:
    # For a rewritten file its container would be restarted.
    commands = _found(**change).shell(files.present, files=[SECRET])
    assert commands == [f"chown 1001:0 {SECRET.path} && chmod 0400 {SECRET.path}"]


def test_only_what_is_missing_is_written() -> None:
    other = ManagedFile("/etc/quaylab/other", "")
    (command,) = _found().operate(files.present, files=[SECRET, other])
    assert other.path in text(command)


def test_content_goes_through_stdin_alone() -> None:
    (command,) = FakeHost().operate(files.present, files=[SECRET])
    assert leaked({"password": "hunter2"}, text(command)) == []
    assert base64.b64decode(stdin(command)).decode() == SECRET.content


def test_only_root_enters_the_directory() -> None:
    (command,) = FakeHost().shell(files.present, files=[SECRET])
    assert command.startswith("install -d -o root -g root -m 0700 /etc/quaylab && ")


def test_incomplete_content_replaces_nothing(tmp_path: Path, shell: Shell) -> None:
    """If the run is killed, the command's input ends early."""
    shell.stub("install", ":")
    shell.stub("chown", ":")
    target = tmp_path / "environment"
    target.write_text("whole\n")
    command = files.write(dataclasses.replace(SECRET, path=str(target)))
    half = stdin(command)[:8]
    assert shell.run(command, half).returncode != 0
    assert target.read_text() == "whole\n"
    assert shell.run(command, stdin(command)).returncode == 0
    assert target.read_text() == SECRET.content


def _written(shell: Shell, target: Path) -> subprocess.CompletedProcess[str]:
    """Run the command that writes the secret to a path."""
    shell.stub("install", ":")
    shell.stub("chown", ":")
    command = files.write(dataclasses.replace(SECRET, path=str(target)))
    return shell.run(command, stdin(command))


def test_an_empty_directory_is_replaced(tmp_path: Path, shell: Shell) -> None:
    """Docker makes one when it mounts a file that doesn't exist."""
    target = tmp_path / "environment"
    target.mkdir()
    assert _written(shell, target).returncode == 0
    assert target.read_text() == SECRET.content


def test_a_directory_that_is_not_empty_is_reported(tmp_path: Path, shell: Shell) -> None:
    target = tmp_path / "environment"
    target.mkdir()
    (target / "kept").touch()
    done = _written(shell, target)
    assert done.returncode == 1
    assert done.stderr == (
        f"{target} has to be a file and is a directory with something in it; move it away\n"
    )
    assert [each.name for each in target.iterdir()] == ["kept"]


def test_a_link_to_a_directory_is_replaced_and_not_followed(tmp_path: Path, shell: Shell) -> None:
    target, elsewhere = tmp_path / "environment", tmp_path / "elsewhere"
    elsewhere.mkdir()
    target.symlink_to(elsewhere)
    assert _written(shell, target).returncode == 0
    assert target.read_text() == SECRET.content
    assert list(elsewhere.iterdir()) == []


def test_owner_and_mode_are_set_before_the_last_step() -> None:
    (command,) = FakeHost().operate(files.present, files=[SECRET])
    steps = text(command)
    order = [
        steps.index(step)
        for step in ("umask 077", "rm -f", "base64 -d", "chown 1001:0", "chmod 0400", "mv -f")
    ]
    assert order == sorted(order)
