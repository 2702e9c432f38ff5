"""A run on the hypervisor: the virtual lab, which is made once, before anything is changed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pyinfra import inventory
from pyinfra.api import State
from pyinfra.context import ctx_host, ctx_state

from operations.commands import host_inputs, refusals
from operations.run import locked_store, reports
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
    """The lab that is to be, and what the hypervisor reports of itself. The store is kept for its
    lock."""

    lab: Lab
    hypervisor: Machine
    store: Store


_lock = threading.Lock()
_runs: WeakKeyDictionary[State, VirtualRun] = WeakKeyDictionary()


def begin(removes: bool = False) -> VirtualRun:
    """The validated virtual lab of this run, for the hypervisor; the VMs needn't be there yet.

    + removes: the run takes the lab down, so what is there need not fit

    Raises ``DeployError`` with all problems at once.
    """
    current: State = ctx_state.get()  # type: ignore[no-untyped-call]
    with _lock, refusals():
        if current not in _runs:
            _runs[current] = _make(removes)
    return _runs[current]


def _make(removes: bool) -> VirtualRun:
    hosts = host_inputs(inventory)
    settings, own = load(hosts)
    store = locked_store(settings.lab_name)
    lab = build(settings, own, hosts)
    machine = reports()[lab.hypervisor]
    refuse(host_reports.hypervisor_problems(lab.hypervisor, machine))
    if not removes:
        refuse(changes.refusals(lab, _there(lab)))
    return VirtualRun(lab, machine, store)


def _there(lab: Lab) -> Hypervisor:
    host = inventory.get_host(lab.hypervisor)
    with ctx_host.use(host):
        return report(lab)
