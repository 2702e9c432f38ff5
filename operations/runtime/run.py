"""A run: it makes the plan from pyinfra's inventory, once, before any host is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyinfra import host, inventory

from operations import credentials
from operations.runtime.commands import host_inputs
from operations.runtime.once import OncePerRun
from operations.runtime.purpose import Purpose
from operations.runtime.reports import lock_run, reports
from quaylab.openshift.layout import GROUP
from quaylab.problems import refuse
from quaylab.settings.loading import load

if TYPE_CHECKING:
    from quaylab.plan import Plan

__all__ = ["Purpose", "begin"]


@dataclass
class _Run:
    purpose: Purpose
    plan: Plan
    # Hosts for which "Save the credentials" is in the run already.
    begun: set[str] = field(default_factory=set)


_runs: OncePerRun[_Run] = OncePerRun()


def begin(purpose: Purpose = Purpose.DEPLOY) -> Plan:
    """Return the validated plan of this run.

    Before any other operation the credentials are saved, so that no host receives a secret that is
    not stored.

    + purpose: what the run is for; a task that another deploy file includes belongs to that file's
      run and has its purpose

    Raises ``DeployError`` with all problems at once, which pyinfra prints as they are.
    """
    run = _runs.get(lambda: _Run(purpose, _make(purpose)))
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
    store, started = lock_run(settings.lab_name, purpose)
    # Imported while the locked hosts prepare their reports, which takes about as long.
    from operations.runtime.planning import make_plan

    return make_plan(purpose, hosts, reports(started), store)
