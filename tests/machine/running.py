"""A run of pyinfra that is watched while it works, to be frozen or killed at a chosen moment."""

from __future__ import annotations

import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.machine.deployment import Deployment
from tests.machine.machines import Result


class Running:
    """A run under way. Over SSH it is one process, whose commands go on without it on the host."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[str] = []

    def begins(self, operation: str) -> bool:
        """Wait until an operation begins; False if the run ends before."""
        assert self._process.stderr is not None
        begun = f"Starting operation: {operation}"
        for line in self._process.stderr:
            self.said.append(line)
            if begun in line:
                return True
        return False

    def goes_on(self, seconds: float) -> bool:
        """Let the run go on for some time; False if it ends before."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is None

    def freeze(self) -> None:
        """Stop it where it is, with all that it holds."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen run go on."""
        self._process.send_signal(signal.SIGCONT)

    def ends(self, seconds: float) -> Result:
        """How it ends, which it has to within some time."""
        stdout, stderr = self._process.communicate(timeout=seconds)
        return Result(self._process.returncode, stdout, "".join(self.said) + stderr)


@contextmanager
def running(lab: Deployment, deploy: str = "deploy.py") -> Iterator[Running]:
    """Start a run, and end it by SIGKILL."""
    with lab.operator.start(lab.inventory, deploy) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def kill_in(lab: Deployment, operation: str, after: float) -> None:
    """Kill a run, seconds after an operation of it has begun.

    A run that ends before, as one in some fifty chains did for a reason unknown, is begun again,
    and what it said is among pytest's warnings.
    """
    for _ in range(2):
        with running(lab) as run:
            if run.begins(operation):
                assert run.goes_on(after), f"the run ended within {after:.2f} s of: {operation}"
                return
        early = f"the run ended before: {operation}\n{''.join(run.said)}"
        warnings.warn(early, stacklevel=2)
    raise AssertionError(early)
