"""Where pyinfra's inventory becomes the plan: built once per run, before any host is changed."""

from __future__ import annotations

import getpass
import sys
import threading
from collections.abc import Iterator

import gevent
from pyinfra import inventory, state
from pyinfra.api import Host
from pyinfra.api.exceptions import DeployError
from pyinfra.context import ctx_host

from facts.machine import Machine as MachineFact
from operations import reach
from quaylab import plan as plans
from quaylab.machine import Machine
from quaylab.probes import Unreachable
from quaylab.problems import Refusal, refuse
from quaylab.settings import HostInput

# pyinfra loads a deploy file for all hosts at once; the first to come makes the plan.
_lock = threading.Lock()
_made: plans.Plan | None = None


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
                    plans.refuse_unfit(made)
                    refuse(_unreachable(made))
                _made = made
        except Refusal as refusal:
            raise DeployError(str(refusal)) from None
        return _made


def _make(rotate: bool, demand: bool) -> plans.Plan:
    hosts = [
        # pyinfra has no type on dict()
        HostInput(each.name, tuple(each.groups), each.data.dict())  # type: ignore[no-untyped-call]
        for each in inventory
    ]
    ask = getpass.getpass if sys.stdin.isatty() else None
    return plans.make(hosts, _machines(), exclusive=True, ask=ask, rotate=rotate, demand=demand)


def _unreachable(made: plans.Plan) -> Iterator[str]:
    """Services that run elsewhere and don't answer Quay's host. Those of ours come up later."""
    leader = inventory.get_host(made.topology.leader)
    if leader.name not in made.machines:
        return  # left out by --limit
    for setting, service, ask in (
        ("database_host", made.topology.database, reach.database),
        ("redis_host", made.topology.redis, reach.redis),
    ):
        if service.host is None:
            try:
                ask(leader, made)
            except Unreachable as error:
                yield f"{setting}: {error}"
    if made.topology.store and made.topology.store.host is None:
        try:
            reach.objects(leader, made)
        except Unreachable as error:
            yield str(error)


def _machines() -> dict[str, Machine]:
    """What every connected host reports, asked all at once."""
    hosts: list[Host] = list(state.inventory.get_active_hosts())
    jobs = [gevent.spawn(_ask, host) for host in hosts]
    gevent.joinall(jobs)
    said = {host.name: job.get() for host, job in zip(hosts, jobs, strict=True)}
    refuse(problem for problem in said.values() if isinstance(problem, str))
    return {name: machine for name, machine in said.items() if isinstance(machine, Machine)}


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
    return report or f"{host.name}: does not tell what it is; is it a Linux host?"
