"""A point of the run at which hosts wait for each other."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation


@operation()
def reached() -> Generator[StringCommand]:
    """Wait until every host has reached this point. It changes nothing.

    pyinfra keeps the order of operations on each host. Hosts with different operations run side by
    side, and wait for each other at an operation that is planned for all of them.
    """
    host.noop("all hosts are here")
    yield from ()
