"""Docker reads its proxy only when it starts: a restart, which stops all containers of a host."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, inventory, logger
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from operations.engines import containers, docker
from operations.one_machine import while_others_serve
from operations.services import patroni, virtual_address
from quaylab.engines import DOCKER
from quaylab.plan import Plan
from quaylab.services.base import Workload
from quaylab.services.ceph import runs_cephadm
from quaylab.services.patroni import COMMAND


@operation()
def restarted(plan: Plan) -> Generator[PyinfraCommand]:
    """Restart Docker with another proxy while other hosts stand in for this one.

    + plan: the run's plan
    """
    machine = plan.machines[host.name]
    member = machine.state.containers.get(patroni.CONTAINER)
    yield from while_others_serve(
        plan,
        docker.running._inner(machine=machine, settings=plan.settings),
        # This run may repair one that was not healthy.
        [
            each
            for each in _running(plan, host.name)
            if machine.state.containers[each.container.name].health == "healthy"
        ],
        # This run may repair the others, as in virtual_address.container_as_specified.
        move_address=virtual_address.fail_over_if_possible,
        # A single database becomes a member only later in this run.
        has_member=member is not None and member.command == COMMAND,
        has_cephadm=_has_cephadm(plan, host.name),
    )


def due(plan: Plan) -> tuple[str, ...]:
    """Return the connected hosts on which a restart of Docker will stop what serves, the one that
    leads the database last. What runs there was started before this run."""
    names = [name for name in plan.connected(plan.topology.engine_hosts()) if _is_due(plan, name)]
    return patroni.leader_last(plan, names) if names else ()


def announce(plan: Plan) -> None:
    """Print on which hosts Docker will be restarted, before anything is changed."""
    for name in due(plan):
        notice = f"Docker on {name} will be restarted with another proxy, and so all its containers"
        inventory.get_host(name).log_styled(notice, fg="yellow", log_func=logger.warning)


def _is_due(plan: Plan, name: str) -> bool:
    machine = plan.machines[name]
    engine = machine.engine
    # Without systemd it is refused; with live-restore no container stops.
    if plan.engine_of(name) is not DOCKER or not machine.systemd or engine is None:
        return False
    if engine.version is None or engine.live_restore:
        return False
    if not (_running(plan, name) or _has_cephadm(plan, name)):
        return False
    with ctx_host.use(inventory.get_host(name)):
        return not docker.has_wanted_proxy(engine, plan.settings)


def _running(plan: Plan, name: str) -> list[Workload]:
    """Return what ran on a connected host when the run began, of what shall run there."""
    found = plan.machines[name].state
    return [
        each for each in plan.workloads_of(name) if containers.is_running(found, each.container)
    ]


def _has_cephadm(plan: Plan, name: str) -> bool:
    """Whether a connected host is one of a cluster that cephadm has made."""
    return runs_cephadm(plan.topology, name) and bool(plan.machines[name].ceph)
