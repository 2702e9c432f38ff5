"""The command that a task prints for the user to run next."""

from __future__ import annotations

from typing import Any

import pytest

from operations import next_command
from tests.unit.fake_host import FakeHost

TASK = ["pyinfra", "-y", "site.py", "tasks/restore_database.py", "--data", "quay_workers=2"]


@pytest.mark.parametrize(
    ("more", "command"),
    [
        ({}, "pyinfra -y site.py deploy.py --data quay_workers=2"),
        (
            {"deploy": "tasks/openshift.py", "data": {"quay_version": "v3.16.5"}},
            "pyinfra -y site.py tasks/openshift.py --data quay_workers=2 "
            "--data quay_version=v3.16.5",
        ),
    ],
)
def test_it_is_printed_when_the_run_comes_to_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: dict[str, Any],
    command: str,
) -> None:
    monkeypatch.setattr("sys.argv", TASK)
    planned = FakeHost()
    planned.executing = False
    assert planned.operate(next_command.printed, done="It is done.", **more) == []
    assert capsys.readouterr().err == ""
    assert FakeHost().operate(next_command.printed, done="It is done.", **more) == []
    printed = capsys.readouterr()
    assert printed.out == ""  # stdout is for --json
    assert printed.err == f"It is done. Next:\n  {command}\n"
