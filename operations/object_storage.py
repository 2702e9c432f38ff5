"""The object store behind Quay: its bucket, and whether Quay can use it."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from operations import reach
from operations.commands import complain, fail
from operations.phases import postpone
from quaylab.clients.probes import Unreachable
from quaylab.plan import Plan


@operation()
def bucket_present(plan: Plan) -> Generator[FunctionCommand]:
    """Create the bucket, or with Swift the container, where it is missing.

    + plan: the run's plan
    """
    try:
        answer = reach.find_bucket(host, plan)
    except Unreachable:
        # A store that this run starts doesn't answer yet. Any other reports its error below.
        answer = None
    if answer:
        host.noop(f"{plan.settings.storage_bucket} is there")
        return
    yield FunctionCommand(_create_bucket, (plan,), {})


def _create_bucket(state: State, host: Host, plan: Plan) -> bool:
    try:
        with reach.store(host, plan) as client:
            if client.ask() is None:
                client.make_bucket()
    except Unreachable as error:
        return complain(host, str(error))
    return True


@operation()
def usable(plan: Plan) -> Generator[StringCommand]:
    """Write an object, read it back and delete it, with exactly Quay's credentials.

    + plan: the run's plan
    """
    if postpone("tried when the run comes to it"):
        return
    try:
        with reach.store(host, plan) as client:
            client.round_trip()
    except Unreachable as error:
        yield fail(str(error))
        return
    host.noop(f"objects can be written, read and deleted in {plan.settings.storage_bucket}")
