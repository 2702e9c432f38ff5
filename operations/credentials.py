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
    """
    if plan.store.exists and plan.store.load() == plan.credentials:
        host.noop(f"{plan.store.path} is up to date")
        return
    yield FunctionCommand(plan.store.save, (plan.credentials,), {})
