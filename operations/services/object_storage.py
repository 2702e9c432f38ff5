"""The object store behind Quay: its bucket, and whether Quay can use it."""

from __future__ import annotations

from collections.abc import Generator
from operator import not_

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from operations.engines.containers import is_running
from operations.hosts import reach
from operations.runtime.commands import complain, fail
from operations.runtime.phases import postpone
from operations.runtime.waiting import wait
from operations.services import virtual_address
from quaylab.clients.probes import Unreachable
from quaylab.plan import Plan
from quaylab.services import ingress


@operation()
def reachable(plan: Plan) -> Generator[FunctionCommand]:
    """Wait until the gateways answer where Quay will look for them: on a first run nobody holds the
    virtual address yet, and gateways with a new certificate start again.

    + plan: the run's plan
    """
    balancers = plan.topology.hosts[ingress.NAME]
    connected = plan.connected(balancers)
    ran = all(
        is_running(plan.machines[name].state, plan.workload(ingress.NAME, name).container)
        for name in connected
    )
    # One that takes no part may hold the address.
    if ran and (len(connected) < len(balancers) or not virtual_address.is_free(plan)):
        host.noop("the ingress runs")
        return
    yield FunctionCommand(_await_answer, (plan,), {})


def _await_answer(state: State, host: Host, plan: Plan) -> bool:
    def refusal() -> str | None:
        try:
            reach.find_bucket(host, plan)
        except Unreachable as error:
            return str(error)
        return None

    reason = wait(refusal, plan.settings.health_timeout, until=not_, pause=2)
    return reason is None or complain(host, reason)


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
