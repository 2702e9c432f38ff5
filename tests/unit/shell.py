"""Running an operation's or a fact's command for real, with stubs for what it calls."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pyinfra.api import StringCommand


class Shell:
    """A shell whose PATH begins with stubs, and the arguments that they were called with."""

    def __init__(self, directory: Path) -> None:
        self.stubs = directory / "stubs"
        self.stubs.mkdir()
        self.log = directory / "calls"

    def stub(self, name: str, script: str) -> None:
        """A program of that name: a few lines of sh."""
        path = self.stubs / name
        path.write_text(f"#!/bin/sh\necho \"{name} $*\" >>'{self.log}'\n{script}\n")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def run(
        self, command: StringCommand | str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        raw = command if isinstance(command, str) else command.get_raw_value()
        return subprocess.run(
            ["sh", "-c", raw],
            env={**os.environ, "PATH": f"{self.stubs}:{os.environ['PATH']}"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def lines(self, command: StringCommand | str) -> list[str]:
        """The output of a command that succeeds, as pyinfra hands it to a fact."""
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
