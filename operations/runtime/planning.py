"""The plan of a run: made from what its hosts report, and refused before any of them is changed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import gevent
from pyinfra import inventory

from facts import engines
from facts.containers import Engine, Succeeds
from facts.docker import Daemon
from facts.firewall import Firewall
from facts.images import Images
from facts.machine import EngineInfo
from facts.podman import Podman
from facts.storage import Storage
from facts.trust import Name
from operations import engine_restart
from operations.engines import containers, move
from operations.hosts import storage, trust
from operations.runtime import observation
from operations.runtime.commands import ask_at_terminal, fact_of
from operations.runtime.observation import question
from operations.runtime.purpose import Purpose
from operations.services import (
    balancers,
    database,
    etcd,
    external_services,
    members,
    move_blobs,
    nodes,
    patroni,
    quay,
    virtual_address,
)
from quaylab import plan as plans
from quaylab.checks import fetched_images
from quaylab.checks.fetched_images import ImageState
from quaylab.engines import DOCKER
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.paths import REGISTRY_NOTE
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.settings.loading import HostInput

# Seconds in which Quay has to answer questions that are asked early.
PATIENCE = 5


def make_plan(
    purpose: Purpose, hosts: list[HostInput], machines: dict[str, Machine], store: Store
) -> Plan:
    """Return the plan of a run, with the answers that its operations need for certain.

    Args:
        hosts: the inventory.
        machines: the hosts' reports.

    Raises:
        Refusal: with all problems at once.
    """
    plan = plans.make(
        hosts,
        machines,
        store,
        ask=ask_at_terminal(),
        rotate=purpose is Purpose.ROTATE,
        deploys=purpose.deploys,
        moves_engine=purpose is Purpose.MOVE_ENGINE,
    )
    for name in plan.machines:
        engines.use(inventory.get_host(name), plan.engine_of(name))
    if not purpose.deploys:
        return plan
    moves = purpose is Purpose.MOVE
    plans.refuse_unfit(plan, _disks(plan), _images(plan), moves_blobs=moves)
    if purpose is Purpose.MOVE_ENGINE:
        # Nothing is observed beforehand: its operations ask two engines.
        move.refuse_unfit(plan)
        members.refuse_unknown(plan)
        move.announce_interruptions(plan)
        return plan
    virtual_address.check_address(plan)
    plan = external_services.check(plan)
    facts = [gevent.spawn(_observe, plan, name) for name in plan.machines]
    early = [gevent.spawn(_ask_early, ask) for ask in quay.early_questions(plan)]
    gevent.joinall(facts, raise_error=True)
    gevent.joinall(early, timeout=PATIENCE)
    gevent.killall(early)
    members.refuse_unknown(plan)
    patroni.refuse_paused(plan)
    etcd.refuse_lost_majority(plan)
    engine_restart.announce(plan)
    (move_blobs if moves else containers).announce_interruptions(plan)
    database.announce_former(plan)
    return plan


def _ask_early(ask: Callable[[], object]) -> None:
    """Ask what the run asks again if there is no answer yet, and then reports the reason."""
    with suppress(Exception):
        ask()


def _observe(plan: Plan, name: str) -> None:
    """Ask a host in one command all that the operations of a run without changes need."""
    machine, host = plan.machines[name], inventory.get_host(name)
    workloads = plan.workloads_of(name)
    images = fetched_images.from_report(machine, (each.image.reference for each in workloads))
    observation.begin(
        host, {Engine: machine.state, EngineInfo: machine.engine}, {Images: images or {}}
    )
    if name not in plan.topology.engine_hosts():
        return
    engine = plan.engine_of(name)
    questions = [
        question(Daemon if engine is DOCKER else Podman),
        question(Firewall),
        question(Name, hostname=plan.topology.hostname, mark=trust.MARK),
    ]
    paths = [REGISTRY_NOTE, engine.trust(plan.topology.registry)]
    if engine is DOCKER:
        paths.append(storage.DROP_IN)
    for each in workloads:
        paths += [file.path for file in each.files]
        running = each.container.name in machine.state.containers
        if running and each.password_refused:
            questions.append(
                question(Succeeds, container=each.container.name, command=each.password_refused)
            )
    for operations in (balancers, database, etcd, nodes, patroni, quay):
        more_questions, more_paths = operations.questions(plan, name)
        questions += more_questions
        paths += more_paths
    observation.prepare(host, questions, paths)


def _disks(plan: Plan) -> dict[str, Disks]:
    """Return the reports of the disks of all hosts with disks in their settings."""
    found = {}
    for name, storages in plan.storages.items():
        if name in plan.machines:
            host = inventory.get_host(name)
            paths = [each.path for each in storages if each.path]
            found[name] = fact_of(host, Storage, paths=paths)
    return found


def _images(plan: Plan) -> dict[str, dict[str, ImageState]]:
    """Return the state of the images that the hosts' containers use, by host and image."""
    found = {}
    for name, machine in plan.machines.items():
        references = [image.reference for image in plan.images_of(name)]
        states = fetched_images.from_report(machine, references)
        if states is None:
            host = inventory.get_host(name)
            states = fact_of(host, Images, references=references)
        found[name] = states
    return found
