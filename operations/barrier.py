"""A point of the run at which hosts wait for each other."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation


@operation()
def reached() -> Generator[StringCommand]:
    """Wait until every host has reached this point. It changes nothing.

    pyinfra keeps the order of operations on each host. Hosts with different operations run side by
    side, but all hosts reach an operation that they share together.
    """
    host.noop("all hosts are here")
    yield from ()
