"""Teardown: remove the registry's objects, and no others."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from pyinfra import host, logger, state
from pyinfra.api import FunctionCommand, Host, State, StringCommand, operation
from pyinfra.api.command import PyinfraCommand
from rich.console import Console

from operations.openshift import kubectl
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import names_of, ours, removed
from operations.openshift.waiting import Look, until_done
from operations.runtime.commands import fail
from operations.runtime.phases import postpone
from quaylab.openshift.layout import REGISTRY
from quaylab.openshift.objects import (
    CLAIM,
    CONFIG_MAP,
    DEPLOYMENT,
    KEPT,
    OPERATOR_GROUP,
    QUAY_REGISTRY,
    REMOVED,
    SERVICE_VERSION,
    SUBSCRIPTION,
    Kind,
)
from quaylab.openshift.operator.description import KEPT_PARTS, PARTS, REMOVED_PARTS
from quaylab.openshift.plan import ClusterPlan

NOTHING = "nothing of it is there"


@operation()
def objects(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove what runs, and what leads to it. Claims, secrets and notes stay.

    + plan: the run's plan
    """
    yield from removed(plan, lambda: ours(host, plan, REMOVED), NOTHING)


@operation()
def data(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove claims, with the data in their volumes, secrets and notes. The namespace stays.

    + plan: the run's plan
    """
    yield from removed(plan, lambda: ours(host, plan, KEPT), NOTHING)


@operation()
def operated_registry(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove the QuayRegistry, and leave what the operator has made of it: by default all of that
    goes with it, data included. The operator is gone by now.

    + plan: the run's plan
    """
    if (QUAY_REGISTRY.name, REGISTRY) in plan.cluster.found:
        # The operator would remove its finalizer, without which the object can't go. It is for
        # dashboards of OpenShift's monitoring, which it does not look after here.
        yield kubectl.patched(
            plan.access, QUAY_REGISTRY, REGISTRY, {"metadata": {"finalizers": None}}
        )
    yield from removed(plan, lambda: ours(host, plan, [QUAY_REGISTRY]), NOTHING, "orphan")


@operation()
def operated_objects(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove what runs of what the operator has made. Claims, buckets and secrets stay.

    + plan: the run's plan
    """
    yield from removed(plan, lambda: _parts(plan, REMOVED_PARTS), NOTHING)


@operation()
def operated_data(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove the data that the operator has made: claims, buckets and secrets.

    + plan: the run's plan
    """
    yield from removed(plan, lambda: _parts(plan, KEPT_PARTS), NOTHING)


@operation()
def operator(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Remove the operator from the namespace, and wait for its end. The kinds that it has brought
    to the cluster stay.

    + plan: the run's plan
    """
    try:
        pods = _operators_pods(plan)
    except ClusterError as error:
        yield fail(str(error))
        return
    removals = list(removed(plan, lambda: _installation(plan), NOTHING))
    yield from removals
    if removals and pods:
        yield FunctionCommand(_await_end, (plan, pods), {})


def _operators_pods(plan: ClusterPlan) -> list[str]:
    """Return the selectors of the pods of the operators in the namespace, by OLM's label of their
    Deployments.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    output = "".join(
        kubectl.ask(
            host, plan.access, "get", DEPLOYMENT.argument,
            f"--selector=olm.owner={version}", "--output=json",
        )
        for version in _installation(plan)[SERVICE_VERSION]
    )  # fmt: skip
    found = kubectl.parsed(output)
    return [kubectl.selector(each["spec"]["selector"]["matchLabels"]) for each in found]


def _await_end(state: State, host: Host, plan: ClusterPlan, selectors: list[str]) -> bool:
    """Wait until no pod of the operator is left: one that still works would make the registry's
    objects its own again, and Kubernetes would then remove them, data included."""

    def look() -> Look:
        pods = [
            name
            for selector in selectors
            for name in kubectl.ask(
                host, plan.access, "get", "pods", f"--selector={selector}", "--output=name"
            ).split()
        ]
        return Look(not pods, False, lambda: pods, len(pods))

    return until_done(host, plan, look, "", "Quay's operator does not end")


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


def _parts(plan: ClusterPlan, kinds: Iterable[Kind]) -> dict[Kind, list[str]]:
    """Return the names of what the operator has made of this registry, by kind.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    return names_of(host, plan, kinds, PARTS) if _is_noted(plan) else {}


def _installation(plan: ClusterPlan) -> dict[Kind, list[str]]:
    """Return the names of what has installed the operator, and of its installed version.

    OLM takes neither Subscription nor version without the other, so they go in one call.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    versions = [
        each.name
        for each in plan.cluster.olm_objects
        if each.kind == SERVICE_VERSION.name and not each.copied_from
    ]
    found = ours(host, plan, (SUBSCRIPTION, OPERATOR_GROUP))
    return {**found, SERVICE_VERSION: versions if _is_noted(plan) else []}


def _is_noted(plan: ClusterPlan) -> bool:
    """Whether our note says that the operator makes this registry. What the operator and OLM make
    bears no label of ours."""
    return plan.is_operated and plan.description.note.key in plan.cluster.found


def _was_there(plan: ClusterPlan) -> bool:
    """Whether the registry's notes or claims were there when the run began."""
    return any(kind in (CONFIG_MAP.name, CLAIM.name) for kind, _ in plan.cluster.found)


@operation()
def credentials(plan: ClusterPlan) -> Generator[FunctionCommand]:
    """Remove the credentials file, if nothing needs it any more.

    + plan: the run's plan
    """
    store = plan.registry.store
    if plan.registry.topology.database.is_elsewhere:
        host.noop(f"{store.path} stays: the database elsewhere is encrypted with its key")
    elif not _was_there(plan):
        why = (
            f"{store.path} stays: nothing of this registry was in namespace "
            f"{plan.access.namespace}; if it is nowhere else, remove the file yourself"
        )
        if state.is_executing:
            logger.warning(why)
        host.noop(why)
    elif store.exists:
        yield FunctionCommand(store.remove, (), {})
    else:
        host.noop(f"{store.path} is not there")
