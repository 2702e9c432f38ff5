"""Files: replaced atomically, and never wider than they have to be."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import pytest

from facts.files import Files
from operations import files
from quaylab.files import FileState, ManagedFile
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.shell import Shell

SECRET = ManagedFile("/etc/quaylab/redis/environment", "PASSWORD=hunter2\n", uid=1001, mode=0o400)


def _found(**changes: object) -> FakeHost:
    state = {"uid": 1001, "gid": 0, "mode": 0o400, "sha256": SECRET.sha256, **changes}
    return FakeHost({Files: {SECRET.path: FileState(**state)}})  # type: ignore[arg-type]


def test_a_file_as_it_has_to_be_is_left_alone() -> None:
    host = _found()
    assert host.operate(files.present, files=[SECRET]) == []
    assert host.noops == [f"{SECRET.path} is as it has to be"]


def test_a_file_with_another_content_is_written() -> None:
    (command,) = _found(sha256="0" * 64).operate(files.present, files=[SECRET])
    assert stdin(command)


@pytest.mark.parametrize("change", [{"uid": 0}, {"gid": 1}, {"mode": 0o644}], ids=str)
def test_owner_and_mode_are_put_right_in_place(change: dict[str, object]) -> None:
    # A rewritten file would have its container restarted.
    commands = _found(**change).shell(files.present, files=[SECRET])
    assert commands == [f"chown 1001:0 {SECRET.path} && chmod 0400 {SECRET.path}"]


def test_only_what_is_missing_is_written() -> None:
    other = ManagedFile("/etc/quaylab/other", "")
    (command,) = _found().operate(files.present, files=[SECRET, other])
    assert other.path in text(command)


def test_content_goes_through_stdin_alone() -> None:
    (command,) = FakeHost().operate(files.present, files=[SECRET])
    assert "hunter2" not in text(command)
    assert base64.b64decode(stdin(command)).decode() == SECRET.content


def test_half_of_a_content_replaces_nothing(tmp_path: Path, shell: Shell) -> None:
    """For a command, the death of the run that feeds it is the end of its input."""
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


def test_nothing_wide_is_on_disk_before_the_last_step() -> None:
    (command,) = FakeHost().operate(files.present, files=[SECRET])
    steps = text(command)
    order = [
        steps.index(step)
        for step in ("umask 077; rm -f", "base64 -d", "chown 1001:0", "chmod 0400", "mv -f")
    ]
    assert order == sorted(order)
