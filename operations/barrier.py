"""Where hosts wait for each other."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import StringCommand, operation


@operation()
def reached() -> Generator[StringCommand]:
    """Wait until every host has come here. It changes nothing.

    pyinfra keeps the order of operations on each host, but runs those of hosts with different
    operations side by side; one that all hosts share they come to together.
    """
    host.noop("all hosts are here")
    yield from ()
