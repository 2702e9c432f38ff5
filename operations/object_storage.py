"""The object store behind Quay: its bucket, and whether Quay can use it."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation

from operations import keepalived, reach
from operations.commands import await_port, complain, fail
from operations.containers import is_running
from operations.phases import postpone
from quaylab.clients.probes import Unreachable
from quaylab.plan import Plan
from quaylab.services import ingress


@operation()
def reachable(plan: Plan) -> Generator[StringCommand]:
    """Wait until the ingress answers: on a first run the virtual address is not held yet.

    + plan: the run's plan
    """
    store, timeout = plan.topology.store, plan.settings.health_timeout
    assert store  # else there is no ingress
    balancers = plan.topology.hosts[ingress.NAME]
    connected = [name for name in balancers if name in plan.machines]
    ran = all(
        is_running(plan.machines[name].state, plan.workload(ingress.NAME, name).container)
        for name in connected
    )
    # One that takes no part may hold the address.
    if ran and (len(connected) < len(balancers) or not keepalived.is_free(plan)):
        host.noop("the ingress runs")
        return
    yield await_port(
        store.address,
        store.port,
        timeout,
        fail(
            f"ingress_port: nobody answers at {store.address}:{store.port} (health_timeout: "
            f"{timeout} s); does {host.name} reach the balancers, and one of them hold the address?"
        ),
    )


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
