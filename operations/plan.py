"""Where pyinfra's inventory becomes the plan: built once per run, before any host is changed."""

from __future__ import annotations

import sys
import threading

import gevent
from paramiko import SSHException
from pyinfra import inventory, state
from pyinfra.api import Host, StringCommand
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, pop_global_arguments
from pyinfra.api.exceptions import DeployError, PyinfraError
from pyinfra.context import ctx_host

from facts.images import Images
from facts.machine import Machine as MachineFact
from facts.storage import Storage
from operations import elsewhere, host_locks
from operations.commands import ask_at_terminal, host_inputs
from operations.hypervisor import report
from quaylab import plan as plans
from quaylab.checks import host_reports
from quaylab.checks.fetched_images import ImageState
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.problems import Refusal, refuse
from quaylab.secrets.credentials import Store
from quaylab.settings import load
from quaylab.virtual import changes
from quaylab.virtual.found import Hypervisor
from quaylab.virtual.lab import Lab, build

# pyinfra loads a deploy file for all hosts at once; the first to come makes the plan.
_lock = threading.Lock()
_made: plans.Plan | None = None
_virtual: tuple[Lab, Machine, Store] | None = None


def plan(check: bool = True, rotate: bool = False) -> plans.Plan:
    """The validated plan of this run.

    + check: refuse a run that hosts or the data that they bear don't fit
    + rotate: take new passwords; the first call of a run decides

    Raises ``DeployError`` with all problems at once, which pyinfra prints as they are.
    """
    global _made
    with _lock:
        try:
            if _made is None:
                made = _make(rotate, check)
                if check:
                    plans.refuse_unfit(made, _disks(made), _images(made))
                    made = elsewhere.answering(made)
                _made = made
        except Refusal as refusal:
            raise DeployError(str(refusal)) from None
        return _made


def virtual_lab(check: bool = True) -> Lab:
    """The validated virtual lab of this run, for the hypervisor; the VMs needn't be there yet.

    + check: refuse a run that the hypervisor or what is there doesn't fit; the first call decides

    Raises ``DeployError`` with all problems at once.
    """
    return _virtually(check)[0]


def hypervisor() -> Machine:
    """What the hypervisor reports of itself."""
    return _virtually(True)[1]


def _virtually(check: bool) -> tuple[Lab, Machine, Store]:
    global _virtual
    with _lock:
        try:
            if _virtual is None:
                hosts = host_inputs(inventory)
                settings, own = load(hosts)
                store = _locked(settings.lab_name)
                lab = build(settings, own, hosts)
                machine = _machines()[lab.hypervisor]
                refuse(host_reports.hypervisor_problems(lab.hypervisor, machine))
                if check:
                    refuse(changes.refusals(lab, _there(lab)))
                # The store is kept for its lock.
                _virtual = lab, machine, store
        except Refusal as refusal:
            raise DeployError(str(refusal)) from None
        return _virtual


def _there(lab: Lab) -> Hypervisor:
    host = inventory.get_host(lab.hypervisor)
    with ctx_host.use(host):
        return report(lab)


def _make(rotate: bool, demand: bool) -> plans.Plan:
    hosts = host_inputs(inventory)
    settings, _ = load(hosts)
    store = _locked(settings.lab_name)
    return plans.make(
        hosts,
        _machines(),
        store,
        ask=ask_at_terminal(),
        rotate=rotate,
        demand=demand,
    )


def _locked(lab_name: str) -> Store:
    """The credentials' store, which nobody else changes while this run lasts, nor its hosts."""
    store = Store(lab_name)
    # A dry run writes nothing, and keeps nobody from working. pyinfra doesn't tell of it.
    if "--dry" not in sys.argv:
        host_locks.take(state.inventory.get_active_hosts(), store.lock().identity)
    return store


def _machines() -> dict[str, Machine]:
    """What every connected host reports, asked all at once."""
    hosts: list[Host] = list(state.inventory.get_active_hosts())
    jobs = [gevent.spawn(_ask, host) for host in hosts]
    gevent.joinall(jobs)
    said = {host.name: job.get() for host, job in zip(hosts, jobs, strict=True)}
    refuse(problem for problem in said.values() if isinstance(problem, str))
    return {name: machine for name, machine in said.items() if isinstance(machine, Machine)}


def _disks(made: plans.Plan) -> dict[str, Disks]:
    """What the hosts whose disks are to be used report of them."""
    found = {}
    for name, storages in made.storages.items():
        if name in made.machines:
            host = inventory.get_host(name)
            with ctx_host.use(host):
                paths = [each.path for each in storages if each.path]
                found[name] = host.get_fact(Storage, paths=paths)
    return found


def _images(made: plans.Plan) -> dict[str, dict[str, ImageState]]:
    """What the hosts have of the images that their containers are made from."""
    found = {}
    for name in made.machines:
        if references := [image.reference for image in made.images_of(name)]:
            host = inventory.get_host(name)
            with ctx_host.use(host):
                found[name] = host.get_fact(Images, references=references)
    return found


def _ask(host: Host) -> Machine | str:
    """A host's report, or why there is none: gevent would print an exception."""
    with ctx_host.use(host):
        try:
            report: Machine | None = host.get_fact(MachineFact)
        except EOFError:  # pyinfra's question for a password
            return (
                f"_sudo: {host.name} asks for a password, and there is no terminal to type it at; "
                "set _sudo_password, or allow this user NOPASSWD in sudoers"
            )
        except PyinfraError:  # the fact failed, and its error was printed
            return host_reports.silent_problem(host.name, _says(host))
    return report or f"{host.name}: does not tell what it is; is it a Linux host?"


def _says(host: Host) -> str | None:
    """What a host says instead of running a command; None if it does run one."""
    arguments, _ = pop_global_arguments(state, host, {})
    known = {key: value for key, value in arguments.items() if key in CONNECTOR_ARGUMENT_KEYS}
    try:
        ok, output = host.run_shell_command(StringCommand(":"), **known)
    except (OSError, SSHException) as error:
        return str(error)
    return None if ok else output.output
