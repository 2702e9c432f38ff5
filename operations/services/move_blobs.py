"""Quay's blobs: from the volume on its host to an object store."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, inventory, logger
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand

from facts.containers import Engine
from facts.engines import host_engine
from facts.files import Paths
from operations.runtime.commands import complain, connector_arguments
from operations.runtime.observation import ask
from operations.services.nodes import containers_on
from quaylab import blob_copy
from quaylab.plan import Plan

INTERRUPTION = (
    "while the rest of the blobs is copied, and until the deploy that follows this run, clients "
    "find no registry"
)


def announce_interruptions(plan: Plan) -> None:
    """Print which containers will be stopped, before anything is changed."""
    for name in plan.machines:
        for container in containers_on(plan, name):
            found = plan.machines[name].state.containers.get(container)
            if found and found.state == "running":
                notice = f"{container} will be stopped: {INTERRUPTION}"
                inventory.get_host(name).log_styled(notice, fg="yellow", log_func=logger.warning)


@operation(is_idempotent=False)
def copied(plan: Plan, is_last: bool) -> Generator[PyinfraCommand]:
    """Copy the blobs that are not in the store yet, and read each one back.

    + plan: the run's plan
    + is_last: whether Quay is stopped; then all blobs have to be there at the end

    What was verified is remembered on the host, so the next run finishes a killed one.
    """
    yield StringCommand(host_engine().remove_at_once(blob_copy.CONTAINER))
    yield StringCommand(host_engine().create_network)
    yield StringCommand(blob_copy.MAKE_FOLDER)
    yield FunctionCommand(_copy, (plan, is_last), {})


def _copy(state: State, host: Host, plan: Plan, is_last: bool) -> bool:
    image = plan.workloads_for("quay", host.name)[0].image.reference
    ok, _ = host.run_shell_command(
        StringCommand(blob_copy.command(host_engine(), image)),
        print_output=True,
        **{**connector_arguments(host), "_stdin": blob_copy.task(plan, is_last)},
    )
    if ok:
        return True
    state_of_quay = (
        "Quay is stopped, and a deploy with the former settings starts it"
        if is_last
        else "Quay still serves"
    )
    return complain(
        host,
        "the blobs are not all copied, for the reason above, and Quay's are still those in the "
        f"volume; {state_of_quay}. Repair the cause, and run this again: it goes on where it was",
    )


@operation()
def quay_stopped(plan: Plan) -> Generator[StringCommand]:
    """Stop and remove Quay's containers on a host. Only stopped, a reboot would start them.

    + plan: the run's plan
    """
    found = ask(Engine).containers
    before_stop = {
        each.container.name: host_engine().try_execute(each.container, each.before_stop)
        for each in plan.workloads_for("quay", host.name)
        if each.before_stop
    }
    for name in containers_on(plan, host.name):
        if name not in found:
            host.noop(f"{name} is not there")
            continue
        if name in before_stop and found[name].state == "running":
            yield StringCommand(before_stop[name])
        yield StringCommand(host_engine().remove(name))


@operation()
def forgotten() -> Generator[StringCommand]:
    """Remove the record of what was verified, once it is no longer needed."""
    if not ask(Paths, paths=[blob_copy.FOLDER]):
        host.noop("no record is there")
        return
    yield StringCommand(f"rm -rf {blob_copy.FOLDER}")
