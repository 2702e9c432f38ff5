"""A real shell for the commands of operations and facts, with stubs for the programs they call."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from pyinfra.api import StringCommand

# A host's own programs; whoever runs the tests may have others first.
HOST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Shell:
    """A shell whose PATH begins with stubs; it records their calls."""

    def __init__(self, directory: Path) -> None:
        self.stubs = directory / "stubs"
        self.stubs.mkdir()
        self.log = directory / "calls"

    def stub(self, name: str, script: str) -> None:
        """Write a program of that name: a few lines of sh."""
        path = self.stubs / name
        path.write_text(f"#!/bin/sh\necho \"{name} $*\" >>'{self.log}'\n{script}\n")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def await_call(self, call: str) -> None:
        """Wait until a command in the background calls a stub like this; no longer than 10 s."""
        end = time.monotonic() + 10
        while call not in self.calls and time.monotonic() < end:
            time.sleep(0.05)

    def run(
        self, command: StringCommand | str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        raw = command if isinstance(command, str) else command.get_raw_value()
        return subprocess.run(
            ["sh", "-c", raw],
            env={**os.environ, "PATH": f"{self.stubs}:{HOST_PATH}"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def lines(self, command: StringCommand | str) -> list[str]:
        """Run a command that succeeds; return its output as pyinfra passes it to a fact."""
        done = self.run(command)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()
