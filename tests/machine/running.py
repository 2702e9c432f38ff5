"""A run of pyinfra in the background, which a test can freeze or kill at a chosen moment."""

from __future__ import annotations

import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.machine.deployment import Deployment
from tests.machine.machines import Process, Result


class Running:
    """A run in progress. Commands that it started over SSH continue on the host without it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.output: list[str] = []

    def reaches(self, operation: str) -> bool:
        """Wait until an operation starts; return False if the run ends before."""
        assert self._process.stderr is not None
        started = f"Starting operation: {operation}"
        for line in self._process.stderr:
            self.output.append(line)
            if started in line:
                return True
        return False

    def continues_for(self, seconds: float) -> bool:
        """Let the run continue for some seconds; return False if it ends before."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is None

    def freeze(self) -> None:
        """Stop the run where it is; it keeps its locks and connections."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen run continue."""
        self._process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float) -> Result:
        """Wait for the run to end within some seconds; return its result."""
        stdout, stderr = self._process.communicate(timeout=seconds)
        return Result(self._process.returncode, stdout, "".join(self.output) + stderr)


@contextmanager
def running(lab: Deployment, deploy: str = "deploy.py") -> Iterator[Running]:
    """Start a run; kill it at the end of the block."""
    with lab.operator.start(lab.inventory, deploy) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def kill_in(lab: Deployment, operation: str, after: float) -> None:
    """Start a run, and kill it ``after`` some seconds of an operation.

    A run that ends before is started once more, and its output is in pytest's warnings: that
    happened in one of about fifty chains of runs, for an unknown reason.
    """
    for _ in range(2):
        with running(lab) as run:
            if run.reaches(operation):
                assert run.continues_for(after), (
                    f"the run ended within {after:.2f} s of: {operation}"
                )
                return
        early = f"the run ended before: {operation}\n{''.join(run.output)}"
        warnings.warn(early, stacklevel=2)
    raise AssertionError(early)
