"""Removing what a run made, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import PurePosixPath

from pyinfra import host
from pyinfra.api import FunctionCommand, QuoteString, StringCommand, operation

from facts.containers import Engine
from facts.files import Directories
from facts.trust import Name
from operations import hosts_file
from operations.containers import remove
from operations.trust import MARK
from quaylab.containers import NETWORK
from quaylab.parts import ETC, PATH_LABEL, VAR
from quaylab.plan import Plan


@operation()
def containers(plan: Plan) -> Generator[StringCommand]:
    """Stop and remove our containers, Quay first, then the network. Volumes stay.

    + plan: the run's plan
    """
    engine = host.get_fact(Engine)
    mine = [part.container.name for part in reversed(plan.parts_of(host.name))]
    for name in mine:
        if name in engine.containers:
            yield from remove(name)
    if NETWORK in engine.networks:
        yield StringCommand(f"docker network rm {NETWORK} >/dev/null")
    elif not any(name in engine.containers for name in mine):
        host.noop("no container of ours is there")


@operation()
def data(plan: Plan) -> Generator[StringCommand]:
    """Remove data volumes, directories of data, configuration, trust, and the hosts' line.

    + plan: the run's plan
    """
    engine = host.get_fact(Engine)
    machine = plan.machines[host.name]
    trust = str(PurePosixPath(plan.topology.docker_trust).parent)
    paths = [volume.labels.get(PATH_LABEL) for volume in machine.volumes]
    directories = [ETC, VAR, trust, *filter(None, paths)]
    existing = host.get_fact(Directories, paths=directories)
    line = host.get_fact(Name, hostname=plan.topology.hostname, mark=MARK).managed
    if not (engine.volumes or existing or line):
        host.noop("nothing of ours is there")
    # Directories first: it is the volumes' labels that tell a next run of them.
    for directory in existing:
        yield _removed(QuoteString(directory))
    for volume in engine.volumes:
        yield StringCommand("docker volume rm", QuoteString(volume), ">/dev/null")
    if line:
        yield hosts_file.rewritten(MARK)


@operation()
def credentials(plan: Plan) -> Generator[FunctionCommand]:
    """Remove the credentials file, if nothing needs it any more.

    + plan: the run's plan
    """
    left = [each for each in plan.topology.engine_hosts() if each not in plan.machines]
    if plan.topology.database.host is None:
        host.noop(f"{plan.store.path} stays: the database elsewhere is encrypted with its key")
    elif left:
        host.noop(f"{plan.store.path} stays: {', '.join(left)} took no part, and may bear data")
    elif plan.store.exists:
        yield FunctionCommand(plan.store.remove, (), {})
    else:
        host.noop(f"{plan.store.path} is not there")


def _removed(directory: QuoteString) -> StringCommand:
    """Remove a directory; what is mounted there is emptied and stays."""
    return StringCommand(
        "if mountpoint -q", directory, "; then find", directory,
        "-xdev -mindepth 1 -delete; else rm -rf", directory, "; fi",
    )  # fmt: skip
