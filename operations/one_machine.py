"""What interrupts all of a machine's services: one machine at a time, while others stand in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.command import PyinfraCommand

from facts.engines import host_engine
from operations.services import cephadm, etcd, nodes, patroni
from quaylab.plan import Plan
from quaylab.services.base import Workload


def while_others_serve(
    plan: Plan,
    interruption: Iterable[PyinfraCommand],
    workloads: Iterable[Workload],
    *,
    move_address: Callable[..., bool],
    has_member: bool,
    has_cephadm: bool,
) -> Generator[PyinfraCommand]:
    """Interrupt the current host: first another one holds the address and leads the database, and
    the balancers leave its nodes out; at the end its services are healthy and its nodes get
    requests again. The database and etcd go on without it, and Ceph has all copies before and
    after.

    Args:
        workloads: what serves on the host afterwards.
        move_address: the function that has another balancer hold the virtual address.
        has_member: whether the host has a member of the database's cluster.
        has_cephadm: whether cephadm's daemons run on it.
    """
    mine = nodes.drainable_nodes(plan, host.name)
    if has_cephadm:
        yield FunctionCommand(cephadm.await_clean, (plan,), {})
    if has_member:
        yield FunctionCommand(etcd.require_majority, (plan,), {})
        yield FunctionCommand(patroni.require_other_members, (plan,), {})
    if host.name in plan.topology.balancers:
        yield FunctionCommand(move_address, (plan,), {})
    if has_member:
        yield FunctionCommand(patroni.hand_over, (plan,), {})
    for node in mine:
        yield FunctionCommand(nodes.withdraw, (plan, node), {})
    yield from interruption
    for workload in workloads:
        if workload.container.health:
            yield StringCommand(
                host_engine().wait_until_healthy(
                    workload.container, plan.settings.health_timeout, after_boot=True
                )
            )
    if has_cephadm:
        yield cephadm.wait_for_gateway(plan)
        yield FunctionCommand(cephadm.await_clean, (plan,), {})
    if has_member:
        yield FunctionCommand(patroni.await_member, (plan,), {})
        yield FunctionCommand(patroni.await_successor, (plan,), {})
    for node in mine:
        yield FunctionCommand(nodes.put_back, (plan, node), {})
