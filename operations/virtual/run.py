"""A run on the hypervisor: the virtual lab is planned once, before anything is changed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pyinfra import inventory
from pyinfra.api import State
from pyinfra.context import ctx_host, ctx_state

from operations.runtime.commands import host_inputs, refusals
from operations.runtime.reports import lock, reports
from operations.virtual.hypervisor import report
from quaylab.checks import host_reports
from quaylab.hosts.machine import Machine
from quaylab.problems import refuse
from quaylab.secrets.credentials import Store
from quaylab.settings.loading import load
from quaylab.virtual import changes
from quaylab.virtual.found import Hypervisor
from quaylab.virtual.lab import Lab, build


@dataclass(frozen=True)
class VirtualRun:
    """The wanted lab, the hypervisor's report, and the credentials' store, which holds a lock."""

    lab: Lab
    hypervisor: Machine
    store: Store


_lock = threading.Lock()
_runs: WeakKeyDictionary[State, VirtualRun] = WeakKeyDictionary()


def begin(removes: bool = False) -> VirtualRun:
    """Return the validated virtual lab of this run; its VMs needn't be there yet.

    + removes: the run removes the lab, so conflicts with what is there don't matter

    Raises ``DeployError`` with all problems at once.
    """
    current: State = ctx_state.get()  # type: ignore[no-untyped-call]
    with _lock, refusals():
        if current not in _runs:
            _runs[current] = _make(removes)
    return _runs[current]


def _make(removes: bool) -> VirtualRun:
    hosts = host_inputs(inventory)
    settings, host_settings = load(hosts)
    store, started = lock(settings.lab_name)
    machines = reports(started)
    lab = build(settings, host_settings, hosts)
    machine = machines[lab.hypervisor]
    refuse(host_reports.hypervisor_problems(lab.hypervisor, machine))
    if not removes:
        refuse(changes.refusals(lab, _report(lab)))
    return VirtualRun(lab, machine, store)


def _report(lab: Lab) -> Hypervisor:
    host = inventory.get_host(lab.hypervisor)
    with ctx_host.use(host):
        return report(lab)
