"""A point in the order of a run's operations."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation


@operation()
def reached() -> Generator[StringCommand]:
    """Have all operations before this one, on every host, executed before those after it.

    pyinfra keeps the order of operations on each host, and executes one operation after the other
    on all hosts that have it. Which of two hosts' different operations comes first is fixed only by
    an operation that both have, such as this one, which changes nothing.
    """
    host.noop("all hosts are here")
    yield from ()
