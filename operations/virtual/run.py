"""A run on the hypervisor: the virtual lab is planned once, before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra import inventory
from pyinfra.context import ctx_host

from operations.runtime.commands import host_inputs
from operations.runtime.once import OncePerRun
from operations.runtime.reports import lock_run, reports
from operations.virtual.hypervisor import problems
from quaylab.checks import host_reports
from quaylab.hosts.machine import Machine
from quaylab.problems import refuse
from quaylab.secrets.credentials import Store
from quaylab.settings.loading import load
from quaylab.virtual.lab import Lab, build


@dataclass(frozen=True)
class VirtualRun:
    """The wanted lab, the hypervisor's report, and the credentials' store, which holds a lock."""

    lab: Lab
    hypervisor: Machine
    store: Store


_runs: OncePerRun[VirtualRun] = OncePerRun()


def begin(removes: bool = False) -> VirtualRun:
    """Return the validated virtual lab of this run; its VMs needn't be there yet.

    + removes: the run removes the lab, so conflicts with what is there don't matter

    Raises ``DeployError`` with all problems at once.
    """
    return _runs.get(lambda: _make(removes))


def _make(removes: bool) -> VirtualRun:
    hosts = host_inputs(inventory)
    settings, host_settings = load(hosts)
    store, started = lock_run(settings.lab_name)
    machines = reports(started)
    lab = build(settings, host_settings, hosts)
    machine = machines[lab.hypervisor]
    refuse(host_reports.hypervisor_problems(lab.hypervisor, machine))
    if not removes:
        with ctx_host.use(inventory.get_host(lab.hypervisor)):
            refuse(problems(lab))
    return VirtualRun(lab, machine, store)
