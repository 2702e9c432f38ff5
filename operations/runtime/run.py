"""A run: it makes the plan from pyinfra's inventory, once, before any host is changed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from weakref import WeakKeyDictionary

import gevent
from paramiko import SSHException
from pyinfra import host, inventory, state
from pyinfra.api import Host, State, StringCommand
from pyinfra.api.exceptions import FactProcessError, PyinfraError
from pyinfra.context import ctx_host, ctx_state

from facts import engines
from facts.containers import Engine, Succeeds
from facts.docker import Daemon
from facts.firewall import Firewall
from facts.images import Images
from facts.machine import EngineInfo
from facts.machine import Machine as MachineFact
from facts.podman import Podman
from facts.storage import Storage
from facts.trust import Name
from operations import credentials
from operations.engines import containers, move
from operations.hosts import trust
from operations.runtime import host_locks, observation
from operations.runtime.commands import (
    ask_at_terminal,
    fact_of,
    host_inputs,
    inventory_arguments,
    refusals,
)
from operations.runtime.observation import question
from operations.services import (
    balancers,
    database,
    external_services,
    keepalived,
    move_blobs,
    nodes,
    patroni,
    quay,
)
from quaylab import locks
from quaylab import plan as plans
from quaylab.checks import fetched_images, host_reports
from quaylab.checks.fetched_images import ImageState
from quaylab.engines import DOCKER
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.openshift.layout import GROUP
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.secrets.credentials import Store
from quaylab.settings.loading import load


class Purpose(Enum):
    """What a run is for."""

    DEPLOY = "deploy"
    # As deploy, with new passwords.
    ROTATE = "rotate"
    # To move the blobs to the store of the settings, before a deploy with them.
    MOVE = "move"
    # To move the data to another container engine, before a deploy with it.
    MOVE_ENGINE = "move engine"
    # To recover credentials, to restore, to reboot, to forget a member or to remove, whatever state
    # the hosts are in.
    RECOVER = "recover"
    # To look at the registry: nothing is locked or saved, whatever state the hosts are in.
    STATUS = "status"

    @property
    def deploys(self) -> bool:
        return self in (
            Purpose.DEPLOY,
            Purpose.ROTATE,
            Purpose.MOVE,
            Purpose.MOVE_ENGINE,
        )


@dataclass
class _Run:
    purpose: Purpose
    plan: Plan
    # Hosts for which "Save the credentials" is in the run already.
    begun: set[str] = field(default_factory=set)


# pyinfra loads a deploy file for all hosts at once; the first of them makes the run's plan.
_lock = threading.Lock()
_runs: WeakKeyDictionary[State, _Run] = WeakKeyDictionary()


def begin(purpose: Purpose = Purpose.DEPLOY) -> Plan:
    """Return the validated plan of this run.

    Before any other operation the credentials are saved, so that no host receives a secret that is
    not stored.

    + purpose: what the run is for; a task that another deploy file includes belongs to that file's
      run and has its purpose

    Raises ``DeployError`` with all problems at once, which pyinfra prints as they are.
    """
    current: State = ctx_state.get()  # type: ignore[no-untyped-call]
    with _lock, refusals():
        run = _runs.get(current)
        if run is None:
            run = _runs[current] = _Run(purpose, _make(purpose))
    if host.name not in run.begun:
        run.begun.add(host.name)
        if run.purpose.deploys:
            credentials.saved(name="Save the credentials", plan=run.plan)
    return run.plan


def _make(purpose: Purpose) -> Plan:
    hosts = host_inputs(inventory)
    refuse(
        f"openshift: {each.name} is in group `openshift`, whose registry is in a cluster; run "
        "tasks/openshift.py, or ./lab"
        for each in hosts
        if GROUP in each.groups
    )
    settings, _ = load(hosts)
    if purpose is Purpose.STATUS:
        store, machines = Store(settings.lab_name), reports({})
    else:
        store, machines = locked(settings.lab_name)
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
        move.announce_interruptions(plan)
        return plan
    keepalived.check_address(plan)
    plan = external_services.check(plan)
    gevent.joinall([gevent.spawn(_observe, plan, name) for name in plan.machines], raise_error=True)
    (move_blobs if moves else containers).announce_interruptions(plan)
    return plan


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
    paths = [trust.note(plan).path, engine.trust(plan.topology.registry)]
    for each in workloads:
        paths += [file.path for file in each.files]
        running = each.container.name in machine.state.containers
        if running and each.password_refused:
            questions.append(
                question(Succeeds, container=each.container.name, command=each.password_refused)
            )
    for operations in (balancers, database, nodes, patroni, quay):
        more_questions, more_paths = operations.questions(plan, name)
        questions += more_questions
        paths += more_paths
    observation.prepare(host, questions, paths)


def is_dry() -> bool:
    """Whether the run only shows what it would do: it writes nothing then, and takes no lock.
    pyinfra has no attribute that says so."""
    return "--dry" in sys.argv


def locked(lab_name: str) -> tuple[Store, dict[str, Machine]]:
    """Lock the credentials and the hosts for this run.

    Returns:
        The credentials' store, and the hosts' reports.

    Raises:
        Refusal: another run holds one of the locks, or a host reports nothing.
    """
    store = Store(lab_name)
    if is_dry():
        return store, reports({})
    hosts = state.inventory.get_active_hosts()
    return store, reports(host_locks.take(hosts, store.lock().identity, MachineFact().command()))


def reports(started: Mapping[str, Iterable[str]]) -> dict[str, Machine]:
    """Return the reports of all connected hosts, which are asked at the same time.

    Args:
        started: where the report's command runs already, the lines from which
            :func:`quaylab.locks.output` reads what it prints.

    Raises:
        Refusal: a host reports nothing.
    """
    hosts: list[Host] = list(state.inventory.get_active_hosts())
    jobs = [gevent.spawn(_report, host, started.get(host.name, ())) for host in hosts]
    gevent.joinall(jobs)
    answers = {host.name: job.get() for host, job in zip(hosts, jobs, strict=True)}
    refuse(problem for problem in answers.values() if isinstance(problem, str))
    return {name: machine for name, machine in answers.items() if isinstance(machine, Machine)}


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


def _report(host: Host, started: Iterable[str]) -> Machine | str:
    """Return a host's report, or the reason why there is none: gevent would print an exception."""
    if output := locks.output(started):
        with suppress(FactProcessError):  # it is asked again, and pyinfra prints the error
            return MachineFact().process(output)
    with ctx_host.use(host):
        try:
            report: Machine | None = host.get_fact(MachineFact)
        except EOFError:  # pyinfra asked for a password
            is_given = bool(inventory_arguments(host).get("_sudo_password"))
            return host_reports.password_problem(host.name, is_given)
        except PyinfraError:  # the fact failed, and its error was printed
            return host_reports.silent_problem(host.name, _answer(host))
    return report or f"{host.name}: does not report what it is; is it a Linux host?"


def _answer(host: Host) -> str | None:
    """Return what a host answers instead of running a command; None if it runs one."""
    try:
        ok, output = host.run_shell_command(StringCommand(":"), **inventory_arguments(host))
    except (OSError, SSHException) as error:
        return str(error)
    return None if ok else output.output
