"""Forked runs of pyinfra are like those that users start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import PROJECT, Run


@pytest.mark.parametrize("cwd", [PROJECT, Path("/")])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--no-such-option",),
        ("missing.py", "deploy.py"),
        ("-y", "--json", "@local", "exec", "--", "echo $GIVEN; pwd; tty"),
    ],
    ids=" ".join,
)
def test_output_and_status_are_the_same(cwd: Path, arguments: tuple[str, ...]) -> None:
    environment = {**os.environ, "GIVEN": "a value"}
    with Run(arguments, cwd, environment) as run:
        forked = (*run.communicate(60), run.returncode)
    real = subprocess.run(
        [sys.executable, "-m", "pyinfra", *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert forked == (real.stdout, real.stderr, real.returncode)


def test_a_run_can_be_waited_for_and_killed() -> None:
    with Run(("@local", "exec", "--", "sleep 60"), Path("/"), os.environ) as run:
        assert run.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(0.1)
        run.kill()
    assert run.returncode == -signal.SIGKILL
