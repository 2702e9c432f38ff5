"""The command that a user runs after a task that leaves something to do."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping

from pyinfra import host
from pyinfra.api import StringCommand, operation
from rich.console import Console

from operations.runtime.phases import postpone
from quaylab.next_command import next_command


@operation()
def printed(
    done: str, deploy: str = "deploy.py", data: Mapping[str, str] | None = None
) -> Generator[StringCommand]:
    """Print what was done, and what to do next. It changes nothing.

    + done: what the task has done, in a sentence
    + deploy: the deploy file to run next
    + data: the settings to give to it
    """
    if postpone("printed when the run comes to it"):
        return
    following = next_command(sys.argv[1:], deploy, **(data or {}))
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{done} Next:\n  {following}")
    host.noop("the next command was printed")
    yield from ()
