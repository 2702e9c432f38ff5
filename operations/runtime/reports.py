"""The reports of the hosts of a run, with which it begins, and the locks that it takes for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import gevent
from paramiko import SSHException
from pyinfra import state
from pyinfra.api import Host, StringCommand
from pyinfra.api.exceptions import FactProcessError, PyinfraError
from pyinfra.context import ctx_host

from facts.machine import Machine as MachineFact
from operations.runtime import host_locks
from operations.runtime.commands import inventory_arguments
from operations.runtime.invocation import is_dry
from operations.runtime.purpose import Purpose
from quaylab import locks
from quaylab.checks import host_reports
from quaylab.hosts.machine import Machine
from quaylab.problems import refuse
from quaylab.secrets.credentials import Store


def lock_run(
    lab_name: str, purpose: Purpose = Purpose.DEPLOY
) -> tuple[Store, dict[str, Iterator[str]]]:
    """Lock the credentials and the hosts for this run, unless it only looks at them.

    Returns:
        The credentials' store, and for :func:`reports` what the locked hosts begin to report.

    Raises:
        Refusal: another run holds one of the locks.
    """
    store = Store(lab_name)
    if is_dry() or purpose is Purpose.STATUS:
        return store, {}
    hosts = state.inventory.get_active_hosts()
    return store, host_locks.take(hosts, store.lock().identity, MachineFact().command())


def reports(started: Mapping[str, Iterable[str]]) -> dict[str, Machine]:
    """Return the reports of all connected hosts, which are asked at the same time, in the order of
    the inventory: the run's operations follow it, and pyinfra itself keeps the hosts in a set.

    Args:
        started: where the report's command runs already, the lines from which
            :func:`quaylab.locks.output` reads what it prints.

    Raises:
        Refusal: a host reports nothing.
    """
    connected = state.inventory.get_active_hosts()
    hosts: list[Host] = [host for host in state.inventory if host in connected]
    jobs = [gevent.spawn(_report, host, started.get(host.name, ())) for host in hosts]
    gevent.joinall(jobs)
    answers = {host.name: job.get() for host, job in zip(hosts, jobs, strict=True)}
    refuse(problem for problem in answers.values() if isinstance(problem, str))
    return {name: machine for name, machine in answers.items() if isinstance(machine, Machine)}


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
