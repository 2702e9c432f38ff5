"""Teardown: remove the registry's objects, and no others."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand, operation

from operations.commands import fail
from operations.openshift import kubectl
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import ours
from quaylab.openshift.objects import KEPT, REMOVED, Kind
from quaylab.openshift.plan import ClusterPlan


@operation()
def objects(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove what runs, and what leads to it. Claims, secrets and notes stay.

    + plan: the run's plan
    """
    yield from _removals(plan, REMOVED)


@operation()
def data(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove claims, with the data in their volumes, secrets and notes. The namespace stays.

    + plan: the run's plan
    """
    yield from _removals(plan, KEPT)


def _removals(plan: ClusterPlan, kinds: tuple[Kind, ...]) -> Generator[StringCommand]:
    try:
        found = ours(host, plan, kinds)
    except ClusterError as error:
        yield fail(str(error))
        return
    if not any(found.values()):
        host.noop("nothing of this registry is there")
    for kind, names in found.items():
        if names:
            yield kubectl.deleted(plan.access, kind, *names)


@operation()
def credentials(plan: ClusterPlan) -> Generator[FunctionCommand]:
    """Remove the credentials file, if nothing needs it any more.

    + plan: the run's plan
    """
    store = plan.registry.store
    if plan.registry.topology.database.is_elsewhere:
        host.noop(f"{store.path} stays: the database elsewhere is encrypted with its key")
    elif store.exists:
        yield FunctionCommand(store.remove, (), {})
    else:
        host.noop(f"{store.path} is not there")
