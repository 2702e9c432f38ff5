"""Containers: what runs is compared with the specification."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import PurePosixPath

from pyinfra import host, inventory, logger
from pyinfra.api import QuoteString, StringCommand, operation

from facts.containers import Engine, Succeeds
from facts.engines import host_engine
from operations.runtime.commands import fail, quoted
from operations.runtime.observation import ask
from quaylab.engines.state import EngineState
from quaylab.model import (
    LOW_SHARES,
    NETWORK,
    NORMAL_SHARES,
    Container,
    Volume,
    container_name,
)
from quaylab.plan import Plan
from quaylab.services.base import Workload

# Changes that stop a running container, in words.
STOPPING_CHANGES = {"replace": "replaced", "restart": "restarted"}


@operation()
def running(workload: Workload, timeout: int) -> Generator[StringCommand]:
    """Keep a workload's network, volume and container as specified, and wait until it is healthy.

    + workload: the container with its network, volume and files
    + timeout: seconds in which it has to become healthy

    A container with another digest in its label is replaced. The digest covers image, options,
    command and every mounted file, so the next run finishes one that died after it had written a
    file and before it restarted the container.

    **Example:**

    .. code:: python

        containers.running(
            name="Run Redis",
            workload=plan.workload("redis", host.name),
            timeout=60,
        )
    """
    wanted = workload.container
    engine = ask(Engine)
    if engine.network_is_internal:
        client = host_engine()
        yield fail(
            f"{host.name}: the network {NETWORK} was made by hand with --internal, so published "
            f"ports lead nowhere; disconnect what is in it ({client.disconnect_command}), remove "
            f"it ({client.remove_network_command}), and run again"
        )
        return
    yield from network_and_volume(workload, engine)
    change = needed_change(engine, wanted)
    if change is None and _refuses_password(workload):
        # Somebody changed it, in the service or in a file of its container; a start sets it again.
        change = "replace"
    if change is None:
        host.noop(f"{wanted.name} runs as specified and is healthy")
        return
    if workload.before_stop and interruption(engine, wanted, change):
        # Its clients miss it for a shorter time.
        yield StringCommand(host_engine().try_execute(wanted, workload.before_stop))
    if change == "replace":
        for command in host_engine().replace(wanted):
            yield StringCommand(command)
    elif change != "wait":
        if change == "restart":
            # A file with a time in the future would cause a restart in every run.
            yield StringCommand("touch", quoted(*(path for path, _ in wanted.files)))
        yield StringCommand(host_engine().apply(wanted, change))
    has_low_shares = workload.starts_with_low_shares and change not in ("wait", "update")
    if has_low_shares:
        yield StringCommand(host_engine().set_shares(wanted.name, LOW_SHARES))
    if wanted.health:
        yield StringCommand(host_engine().wait_until_healthy(wanted, timeout))
    if has_low_shares:
        yield StringCommand(host_engine().set_shares(wanted.name, NORMAL_SHARES))
    if workload.when_healthy and change != "update":
        yield StringCommand(host_engine().try_execute(wanted, workload.when_healthy))


@operation()
def started(workloads: Sequence[Workload], timeout: int) -> Generator[StringCommand]:
    """Start those of a service's containers that don't run, on all hosts at once: they serve nobody
    yet, and may need each other to become healthy.

    + workloads: the service's containers on the host
    + timeout: seconds in which each has to become healthy
    """
    engine = ask(Engine)
    stopped = [each for each in workloads if not is_running(engine, each.container)]
    if not stopped:
        host.noop(f"already running: {', '.join(each.container.name for each in workloads)}")
    for workload in stopped:
        yield from running._inner(workload=workload, timeout=timeout)


def announce_interruptions(plan: Plan) -> None:
    """Print which of our running containers the run will stop, and what their clients notice.

    It is printed before anything is changed, and before a user is asked to agree.
    """
    for name, workload, change in due_changes(plan):
        wanted = workload.container
        how = interruption(plan.machines[name].state, wanted, change)
        if how and workload.interruption:
            notice = f"{wanted.name} will be {how}: {workload.interruption}"
            inventory.get_host(name).log_styled(notice, fg="yellow", log_func=logger.warning)


def due_changes(plan: Plan) -> Iterator[tuple[str, Workload, str]]:
    """Yield each change that a container needs, with its host and its workload, as the hosts were
    when the run began."""
    for name, machine in plan.machines.items():
        for workload in plan.workloads_of(name):
            if change := plan.engine_of(name).due(machine.state, workload.container):
                yield name, workload, change


def interruption(engine: EngineState, wanted: Container, change: str | None) -> str | None:
    """Return what a change does to our running container, in words; None if it doesn't stop it."""
    return STOPPING_CHANGES.get(change or "") if is_running(engine, wanted) else None


def is_running(engine: EngineState, wanted: Container) -> bool:
    """Whether a container of ours runs in the place of the wanted one."""
    found = engine.containers.get(wanted.name)
    return bool(found and found.digest and found.state == "running")


def is_former(plan: Plan, service: str, name: str) -> bool:
    """Whether a connected host had a service's container of ours when the run began, and is no
    longer one of its hosts."""
    is_there = container_name(service) in plan.own_containers(name)
    return is_there and name not in plan.topology.hosts[service]


@operation()
def absent(container: str) -> Generator[StringCommand]:
    """Remove a container with its anonymous volumes; named volumes stay.

    + container: the container's name
    """
    if container not in ask(Engine).containers:
        host.noop(f"{container} is not there")
        return
    yield StringCommand(host_engine().remove(container))


def network_and_volume(workload: Workload, engine: EngineState) -> Generator[StringCommand]:
    """Create a workload's network and volume where they are missing."""
    if NETWORK not in engine.networks:
        yield StringCommand(host_engine().create_network)
    if workload.volume and workload.volume.name not in engine.volumes:
        yield from _create_volume(workload.volume)


def needed_change(engine: EngineState, wanted: Container) -> str | None:
    """Return the change that a container needs (see EngineState.change), "wait", or None."""
    if change := host_engine().due(engine, wanted):
        return change
    if engine.containers[wanted.name].health in ("healthy", None):
        return None
    # The engine checks only every few seconds; until then a new container is "starting".
    healthy = ask(Succeeds, container=wanted.name, command=wanted.health)
    return None if healthy else "wait"


def _refuses_password(workload: Workload) -> bool:
    name, command = workload.container.name, workload.password_refused
    return bool(command) and ask(Succeeds, container=name, command=command)


def _create_volume(volume: Volume) -> Generator[StringCommand]:
    if volume.device:
        message = (
            f"{volume.device} holds data that is not known to be this registry's; move it away, or "
            "name another directory"
        )
        directory = QuoteString(str(PurePosixPath(volume.device).parent))
        yield StringCommand(
            # A user of the host may have the container's uid, and shall not get as far as its data.
            "test -d", directory, "|| install -d -m 0700", directory, "&&",
            f"install -d -m 0700 -o {volume.uid} -g 0", QuoteString(volume.device),
            '&& test -z "$(ls -A', QuoteString(volume.device), ')" || {', fail(message), "; }",
        )  # fmt: skip
    yield StringCommand(host_engine().create_volume(volume))
