"""Teardown: remove the registry's objects, and no others."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, StringCommand, operation
from rich.console import Console

from operations.commands import fail
from operations.openshift import kubectl
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import KEPT, REMOVED, names_of, ours
from operations.phases import postpone
from quaylab.openshift.objects import (
    OPERATOR_GROUP,
    QUAY_REGISTRY,
    SERVICE_VERSION,
    SUBSCRIPTION,
    Kind,
)
from quaylab.openshift.operator.description import KEPT_PARTS, PARTS, REMOVED_PARTS
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
def operated_registry(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove the QuayRegistry, and what runs of it. The operator deletes all that it has made when
    its QuayRegistry goes, data included, so it is told to leave that alone.

    + plan: the run's plan
    """
    try:
        registries = ours(host, plan, [QUAY_REGISTRY]).get(QUAY_REGISTRY, [])
        parts = _parts(plan, REMOVED_PARTS)
    except ClusterError as error:
        yield fail(str(error))
        return
    if not registries and not any(parts.values()):
        host.noop("nothing that the operator has made runs")
    for name in registries:
        yield kubectl.deleted(plan.access, QUAY_REGISTRY, name, cascade="orphan")
    for kind, found in parts.items():
        if found:
            yield kubectl.deleted(plan.access, kind, *found)


@operation()
def operator(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove the operator from the namespace. The kinds that it has brought to the cluster stay.

    + plan: the run's plan
    """
    versions = [
        each.name
        for each in plan.cluster.tenants
        if each.kind == SERVICE_VERSION.name and not each.copied_from
    ]
    try:
        found = ours(host, plan, (SUBSCRIPTION, OPERATOR_GROUP))
    except ClusterError as error:
        yield fail(str(error))
        return
    removed = {**found, SERVICE_VERSION: versions}
    if any(removed.values()):
        # In one call: OLM takes neither of Subscription and version without the other.
        yield kubectl.all_deleted(plan.access, removed)
    else:
        host.noop("no operator is installed")


@operation()
def operated_data(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove the data that the operator has made: claims, buckets and secrets.

    + plan: the run's plan
    """
    try:
        parts = _parts(plan, KEPT_PARTS)
    except ClusterError as error:
        yield fail(str(error))
        return
    if not any(parts.values()):
        host.noop("nothing of the operator's data is there")
    for kind, found in parts.items():
        if found:
            yield kubectl.deleted(plan.access, kind, *found)


@operation()
def kept_printed(plan: ClusterPlan) -> Generator[StringCommand]:
    """Print what is kept, and how it is removed. It changes nothing.

    + plan: the run's plan
    """
    if postpone("printed when the run comes to it"):
        return
    try:
        found = ours(host, plan, KEPT)
        parts = _parts(plan, KEPT_PARTS)
    except ClusterError as error:
        yield fail(str(error))
        return
    kinds = dict.fromkeys((*found, *parts))
    lines = [
        f"  {kind.name}: {', '.join(names)}"
        for kind in kinds
        if (names := [*found.get(kind, ()), *parts.get(kind, ())])
    ]
    hostname = plan.registry.topology.hostname
    text = "\n".join(
        [
            f"Kept in namespace {plan.access.namespace}, and {plan.registry.store.path}:",
            *lines,
            f"Removed for good with --data purge={hostname}",
        ]
    )
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)
    host.noop("what is kept was printed")


def _parts(plan: ClusterPlan, kinds: tuple[Kind, ...]) -> dict[Kind, list[str]]:
    """Return the names of what the operator has made of this registry, by kind.

    Its objects bear only the QuayRegistry's name. That it is ours, our note says.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    if not (plan.is_operated and plan.description.note.key in plan.cluster.found):
        return {}
    return names_of(host, plan, kinds, PARTS)


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
