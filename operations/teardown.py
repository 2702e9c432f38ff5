"""Teardown: remove what runs made, and nothing else."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host, logger
from pyinfra.api import FunctionCommand, QuoteString, StringCommand, operation

from facts.containers import Engine
from facts.engines import host_engine
from facts.files import Paths
from facts.trust import Name
from operations.engines.containers import is_former
from operations.hosts import hosts_file
from operations.hosts.trust import MARK, own_authorities, remove_ca
from operations.runtime.commands import refusals
from operations.runtime.observation import ask
from operations.services.nodes import former_nodes_of
from quaylab import blob_copy
from quaylab.checks import ownership
from quaylab.model import NETWORK, PATH_LABEL, container_name
from quaylab.paths import ETC, VAR
from quaylab.plan import Plan, refuse_teardown
from quaylab.services import SERVICES


def is_needed(plan: Plan) -> bool:
    """Whether the current host has a service of ours, or a container of one that has left it."""
    return host.name in plan.topology.engine_hosts() or bool(plan.own_containers(host.name))


def check_owner(plan: Plan) -> None:
    """Refuse a host of another registry; warn of containers that were created by hand, and stay.

    Raises ``DeployError`` with the owner of the other registry.
    """
    with refusals():
        refuse_teardown(plan)
    for name in ownership.foreign_containers(
        plan.machines[host.name], plan.workloads_of(host.name)
    ):
        logger.warning(f"{host.name}: container {name} was not made by Quaylab, and stays")


@operation()
def containers(plan: Plan) -> Generator[StringCommand]:
    """Stop and remove our containers, Quay first, then the network. Volumes stay.

    + plan: the run's plan
    """
    engine = ask(Engine)
    if blob_copy.CONTAINER in plan.machines[host.name].containers:
        # Of a killed run; it would keep the network and the volume.
        yield StringCommand(host_engine().remove_at_once(blob_copy.CONTAINER))
    ours = [node.container for node in former_nodes_of(plan, host.name)]
    for service in reversed(SERVICES):
        ours += [each.container.name for each in plan.workloads_for(service.name, host.name)]
        if is_former(plan, service.name, host.name):
            ours.append(container_name(service.name))
    for name in dict.fromkeys(ours):
        if name in engine.containers:
            yield StringCommand(host_engine().remove(name))
    if NETWORK in engine.networks:
        yield StringCommand(host_engine().remove_network)
    elif not any(name in engine.containers for name in ours):
        host.noop("no container of ours is there")


@operation()
def data(plan: Plan) -> Generator[StringCommand]:
    """Remove data volumes and directories, configuration, CAs, and our line in /etc/hosts.

    + plan: the run's plan
    """
    machine = plan.machines[host.name]
    volumes = machine.owned_volumes(plan.credentials.fingerprint)
    noted = ownership.read_note(machine)
    registries = {plan.topology.registry, *([noted.registry] if noted else [])}
    trusted = own_authorities(plan, host_engine(), sorted(registries))
    directories = [*(volume.device for volume in volumes if volume.device), ETC, VAR]
    existing: list[str] = ask(Paths, paths=[*directories, *trusted])
    name = ask(Name, hostname=plan.topology.hostname, mark=MARK)
    has_line = name.managed is not None or name.has_former_name
    if not (volumes or existing or has_line):
        host.noop("nothing of ours is there")
    # Each thing goes before what identifies it to the next run: a volume's directory before the
    # volume, and the notes last.
    for volume in volumes:
        if volume.device and volume.device in existing:
            yield _remove_directory(volume.device)
        if (path := volume.labels.get(PATH_LABEL)) and path != volume.device:
            # The directory of the setting, if it is empty and no disk is mounted there.
            yield StringCommand("rmdir", QuoteString(path), "2>/dev/null || :")
        yield StringCommand(host_engine().remove_volume(volume.name, volume.device))
    for ca_file in trusted:
        if ca_file in existing:
            yield remove_ca(ca_file)
    if has_line:
        yield hosts_file.rewrite(MARK)
    for directory in (ETC, VAR):
        if directory in existing:
            yield _remove_wherever_it_is(directory)


@operation()
def credentials(plan: Plan) -> Generator[FunctionCommand]:
    """Remove the credentials file, if nothing needs it any more.

    + plan: the run's plan
    """
    left = [each for each in plan.topology.engine_hosts() if each not in plan.machines]
    if plan.topology.database.is_elsewhere:
        host.noop(f"{plan.store.path} stays: the database elsewhere is encrypted with its key")
    elif left:
        logger.warning(f"{', '.join(left)} takes no part, so {plan.store.path} stays for its data")
        host.noop(f"{plan.store.path} stays")
    elif plan.store.exists:
        yield FunctionCommand(plan.store.remove, (), {})
    else:
        host.noop(f"{plan.store.path} is not there")


def _remove_wherever_it_is(directory: str) -> StringCommand:
    """Return a command that removes a directory of ours, also if it is a link to another disk. One
    that is mounted there or below is emptied, and its mount point stays."""
    name = QuoteString(directory)
    return StringCommand(
        "test ! -e", name, "|| { place=$(readlink -f", name, ") &&",
        'find "$place" ! -type d -delete &&',
        '{ find "$place" -depth -type d -exec rmdir {} + 2>/dev/null;',
        "test ! -L", name, "|| rm", name, "; }; }",
    )  # fmt: skip


def _remove_directory(directory: str) -> StringCommand:
    """Return a command that removes a directory of data; a disk mounted there is emptied."""
    name = QuoteString(directory)
    return StringCommand(
        "if mountpoint -q", name, "; then find", name, "-xdev -mindepth 1 -delete;",
        "else rm -rf", name, "; fi",
    )  # fmt: skip
