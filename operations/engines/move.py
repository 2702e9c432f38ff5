"""The data of a host goes from one container engine to the other, and the first one keeps it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime, timezone

from pyinfra import host, inventory, logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from pyinfra.context import ctx_host

from facts import engines
from facts.balancer import Withdrawn
from facts.images import Images
from facts.volumes import VolumeSizes
from operations.engines import containers, docker, images, podman
from operations.hosts import files, trust
from operations.runtime.commands import fail, one_at_a_time
from operations.runtime.observation import ask, ask_each
from operations.services import etcd, nodes, patroni, virtual_address
from quaylab import engine_move
from quaylab.checks import engine_choice
from quaylab.engine_move import is_moved, target
from quaylab.engines import PODMAN, ContainerEngine
from quaylab.plan import Plan

INTERRUPTION = "until its volumes are copied and compared"


def refuse_unfit(plan: Plan) -> None:
    """Stop if the data of a host can't be moved, for example for lack of space.

    Raises:
        Refusal: with all problems.
    """
    sizes = {name: _sizes(plan, name) for name in plan.engine_machines if not is_moved(plan, name)}
    engine_move.refuse_unfit(plan, sizes)


def announce_interruptions(plan: Plan) -> None:
    """Print on which hosts everything will be stopped, before anything is changed."""
    for name in plan.engine_machines:
        if not is_moved(plan, name):
            notice = f"what runs on {name} will be stopped {INTERRUPTION}"
            inventory.get_host(name).log_styled(notice, fg="yellow", log_func=logger.warning)


@operation()
def prepared(plan: Plan) -> Generator[StringCommand]:
    """Install the engine to move to, and check that it can run our containers.

    + plan: the run's plan
    """
    after, machine, settings = target(plan), plan.machines[host.name], plan.settings
    if is_moved(plan, host.name):
        host.noop(f"the data is in {after.title}")
        return
    with engines.using(after):
        if after is PODMAN:
            yield from podman.installed._inner(machine=machine)
            yield from podman.proxy_set._inner(settings=settings)
            yield from podman.ready._inner()
            return
        yield from docker.installed._inner(machine=machine, settings=settings)
        if proxy := docker.proxy_file(settings):
            yield from files.present._inner(files=[proxy])
        yield from docker.running._inner(machine=machine, settings=settings)


@operation()
def images_present(plan: Plan) -> Generator[PyinfraCommand]:
    """Copy the images to the engine to move to, and fetch those that the other one lacks.

    + plan: the run's plan
    """
    before, after = plan.engine_of(host.name), target(plan)
    if is_moved(plan, host.name):
        host.noop(f"the data is in {after.title}")
        return
    wanted = plan.images_of(host.name)
    references = [image.reference for image in wanted]
    there = ask_each(Images, references)
    with engines.using(after):
        copied = ask_each(Images, references)
        missing = [image for image in wanted if image.reference not in copied]
        if not missing:
            host.noop(f"{after.title} has the images")
        for image in missing:
            if image.reference in there:
                yield StringCommand(engine_move.copied_image(before, after, image.reference))
        if lacking := [image for image in missing if image.reference not in there]:
            yield from images.present._inner(images=lacking, settings=plan.settings)


@operation()
def moved(plan: Plan) -> Generator[PyinfraCommand]:
    """Move a host's data to the other engine while nothing runs there, and start all of it in that
    engine: at the end everything is healthy, and the balancers use Quay's nodes again.

    + plan: the run's plan

    It is one operation, so that the next host is stopped only afterwards.
    """
    if is_moved(plan, host.name) and engine_choice.read_note(plan.machines[host.name]) is None:
        host.noop(f"nothing was moved to {target(plan).title}, and nothing has to be")
        return
    if not is_moved(plan, host.name):
        # Before anything is stopped: from then on a host without volumes has nothing to tell by.
        # What the other engine gets is no rival to the noted one.
        yield files.write(engine_choice.note(plan.engine_of(host.name)))
        yield from _stop(plan)
        yield from _copy(plan)
        yield from _record(plan)
    yield from _start(plan)


def _stop(plan: Plan) -> Generator[PyinfraCommand]:
    """Stop and remove what runs in the engine that has the data: a reboot would start it again.

    Another host holds the address and leads the database before, and the balancers leave Quay's
    nodes out if others have some. The database and etcd have to go on without the host, unless a
    killed run has stopped its members already.
    """
    before, machine = plan.engine_of(host.name), plan.machines[host.name]
    found = machine.state.containers
    is_member = host.name in plan.topology.database_members
    running = {name for name, each in found.items() if each.state == "running"}
    if is_member and running & {etcd.CONTAINER, patroni.CONTAINER}:
        yield FunctionCommand(etcd.require_majority, (plan,), {})
        yield FunctionCommand(patroni.require_other_members, (plan,), {})
    if host.name in plan.topology.balancers:
        yield FunctionCommand(virtual_address.fail_over_if_possible, (plan,), {})
    for node in nodes.drainable_nodes(plan, host.name):
        yield FunctionCommand(nodes.withdraw, (plan, node), {})
    if is_member:
        yield FunctionCommand(patroni.hand_over, (plan,), {})
    workloads = {each.container.name: each for each in reversed(plan.workloads_of(host.name))}
    # Those that this run would not start as well.
    others = sorted(machine.own_containers - workloads.keys())
    for name in (*(name for name in workloads if name in found), *others):
        workload = workloads.get(name)
        if workload and workload.before_stop and found[name].state == "running":
            yield StringCommand(before.try_execute(workload.container, workload.before_stop))
        yield StringCommand(before.remove(name))


def _copy(plan: Plan) -> Generator[PyinfraCommand]:
    """Copy each volume with its labels, and compare the copy. Host directories are used by both."""
    before, after = plan.engine_of(host.name), target(plan)
    report = plan.machines[host.name].engines[after.name]
    there = {each.name: each.labels for each in report.volumes}
    for name, volume in engine_move.volumes(plan, host.name).items():
        if name in there and there[name] != volume.labels:
            yield StringCommand(after.remove_volume(name))
        if there.get(name) != volume.labels:
            yield StringCommand(after.create_volume(volume))
        if volume.path:
            continue
        failed = (
            f"{host.name}: the copy of {name} in {after.title} is not equal, for the reason above; "
            f"{before.title} has all data and runs nothing. Repair the cause, and run this again; "
            "or run deploy.py without container_engine, which starts it there as before"
        )
        copy = engine_move.copied_volume(before, after, name)
        yield one_at_a_time(StringCommand("(", copy, ") || {", fail(failed), "; }"))


def _record(plan: Plan) -> Generator[PyinfraCommand]:
    """Note that the data is in the other engine, which is the host's from here on."""
    with engines.using(target(plan)):
        # It decides once the note of the move is gone.
        yield from trust.registry_noted._inner(plan=plan)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    yield files.write(engine_choice.note(target(plan), now))
    yield FunctionCommand(_use, (target(plan),), {})
    yield StringCommand(f"rm -rf {engine_move.FOLDER}")


def _start(plan: Plan) -> Generator[PyinfraCommand]:
    """Start what does not run in the engine that has the data now, and wait until it is healthy."""
    workloads, is_changed = plan.workloads_of(host.name), False
    # While the run is planned, it is not the host's engine yet.
    with engines.using(target(plan)):
        for command in containers.started._inner(
            workloads=workloads, timeout=plan.settings.health_timeout
        ):
            is_changed = True
            yield command
        if is_changed and host.name in plan.topology.database_members:
            yield FunctionCommand(patroni.await_member, (plan,), {})
            yield FunctionCommand(patroni.await_successor, (plan,), {})
        drained = nodes.drainable_nodes(plan, host.name) if is_changed else []
        for node in nodes.balanced_nodes(plan, host.name):
            if node in drained or ask(Withdrawn, path=nodes.note(node)):
                yield FunctionCommand(nodes.put_back, (plan, node), {})


def in_order(plan: Plan) -> tuple[str, ...]:
    """Return the hosts in the order in which they are moved, the one that leads the database
    last."""
    return patroni.leader_last(plan, plan.engine_machines)


def _use(state: State, host: Host, engine: ContainerEngine) -> bool:
    engines.use(host, engine)
    return True


def _sizes(plan: Plan, name: str) -> tuple[int, int]:
    """Return the kB of a host's volumes, and of what an earlier run has copied of them."""
    after = target(plan)
    own = [each.name for each in engine_move.volumes(plan, name).values() if not each.path]
    there = {each.name for each in plan.machines[name].engines[after.name].volumes}
    with ctx_host.use(inventory.get_host(name)):
        sizes = host.get_fact(VolumeSizes, volumes=own)
        with engines.using(after):
            copies = host.get_fact(VolumeSizes, volumes=[each for each in own if each in there])
    return sum(sizes.values()), sum(copies.values())
