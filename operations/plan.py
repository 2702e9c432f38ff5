"""Where pyinfra's inventory becomes the plan: built once per run, before any host is changed."""

from __future__ import annotations

import dataclasses
import getpass
import os
import sys
import threading
from collections.abc import Callable

import gevent
from pyinfra import inventory, state
from pyinfra.api import Host
from pyinfra.api.exceptions import DeployError
from pyinfra.context import ctx_host

from facts.machine import Machine as MachineFact
from operations import reach
from quaylab import administrator
from quaylab import plan as plans
from quaylab.machine import Machine
from quaylab.probes import Unreachable
from quaylab.problems import Problems, Refusal, refuse
from quaylab.settings import HostInput
from quaylab.sql import Login

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
                    made = _with_services(made)
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
    return plans.make(
        hosts, _machines(), exclusive=True, ask=_ask_at_terminal(), rotate=rotate, demand=demand
    )


def _ask_at_terminal() -> Callable[[str], str] | None:
    return getpass.getpass if sys.stdin.isatty() else None


def _with_services(made: plans.Plan) -> plans.Plan:
    """The plan, if services that run elsewhere answer Quay's host, with their administrator where
    something has to be made first. Those of ours come up later.

    Raises:
        Refusal: one doesn't answer, or what is missing can't be made.
    """
    leader = inventory.get_host(made.topology.leader)
    if leader.name not in made.machines:
        return made  # left out by --limit
    problems = Problems()
    if made.topology.database.host is None:
        try:
            reach.database(leader, made)
        except Unreachable as error:
            with problems.collecting():
                made = _with_administrator(leader, made, error)
    if made.topology.redis.host is None:
        try:
            reach.redis(leader, made)
        except Unreachable as error:
            problems.append(f"redis_host: {error}")
    if made.topology.store and made.topology.store.host is None:
        try:
            reach.objects(leader, made)
        except Unreachable as error:
            problems.append(str(error))
    refuse(problems)
    return made


def _with_administrator(leader: Host, made: plans.Plan, error: Unreachable) -> plans.Plan:
    """The plan with the administrator who makes what the database lacks.

    Raises:
        Refusal: there is none, or it can't be made.
    """
    name = made.settings.database_admin
    if name is None:
        raise Refusal([f"database_host: {error}"])
    password = administrator.password(os.environ, _ask_at_terminal())
    made = dataclasses.replace(made, administrator=Login(name, password, None))
    try:
        lacking = reach.missing(leader, made)
    except Unreachable as refused:
        raise Refusal([f"database_admin: {refused}"]) from None
    if not lacking:
        # It is all there, and Quay isn't let in for another reason.
        raise Refusal([f"database_host: {error}"])
    return made


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
