"""The credentials file on the machine that runs pyinfra."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, operation

from quaylab.plan import Plan


@operation()
def kept(plan: Plan) -> Generator[FunctionCommand]:
    """Save what this run made (passwords, CA, certificate) before any host gets to see it.

    + plan: the run's plan

    Tasks call it first and on every host. That makes hosts wait for each other: pyinfra keeps the
    order of operations on each host, but runs those of hosts with different parts side by side,
    and Quay must not be migrated before another host's database is prepared.
    """
    if plan.store.keeps(plan.credentials):
        host.noop(f"{plan.store.path} is up to date")
        return
    yield FunctionCommand(plan.store.save, (plan.credentials,), {})
