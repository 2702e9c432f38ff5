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
from quaylab.openshift.operator.description import FINALIZER, KEPT_PARTS, PARTS, REMOVED_PARTS
from quaylab.openshift.operator.state import teardown_note
from quaylab.openshift.plan import ClusterPlan
from quaylab.openshift.refusals import ending_registry_problems

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
def versions_noted(plan: ClusterPlan) -> Generator[StringCommand]:
    """Note the versions of Quay and of its operator, for the refusals of the next deploy: what
    tells them is about to be removed.

    + plan: the run's plan
    """
    found, described = plan.cluster.found, plan.operator
    subscription = found.get((SUBSCRIPTION.name, plan.registry.settings.openshift_operator))
    data = teardown_note(found.get(described.registry.key), subscription)
    # Without the note, a registry that is there was refused.
    if not data or data.items() <= found[described.note.key]["data"].items():
        host.noop("nothing is to be noted")
        return
    # Not by server-side apply: the next deploy, which describes no versions, would remove them.
    yield kubectl.patched(plan.access, CONFIG_MAP, described.note.name, {"data": data})


@operation()
def operated_registry(plan: ClusterPlan) -> Generator[StringCommand]:
    """Remove the QuayRegistry, and leave what the operator has made of it: by default all of that
    goes with it, data included. The operator is gone by now.

    + plan: the run's plan
    """
    try:
        found = None
        if plan.cluster.has(QUAY_REGISTRY):
            found = kubectl.named(host, plan.access, QUAY_REGISTRY, REGISTRY)
    except ClusterError as error:
        yield fail(str(error))
        return
    if found and not plan.registry.purges and (problems := list(ending_registry_problems(found))):
        yield fail("; ".join(problems))
        return
    if found and FINALIZER in (finalizers := found["metadata"].get("finalizers") or []):
        # The operator would remove it, without which the object can't go. It is for dashboards of
        # OpenShift's monitoring, which it does not look after here. Others' finalizers stay: that
        # of a deletion which has begun keeps the data. With the version, the server refuses the
        # patch if somebody has changed the object meanwhile.
        rest = {
            "finalizers": [each for each in finalizers if each != FINALIZER],
            "resourceVersion": found["metadata"]["resourceVersion"],
        }
        yield kubectl.patched(plan.access, QUAY_REGISTRY, REGISTRY, {"metadata": rest})
    # A second deletion of the same kind changes nothing, and waits for the first one's end.
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
        # A run that was killed may have removed its installation, and not have seen its end.
        works = _is_noted(plan) and bool(_working_parts(host, plan))
    except ClusterError as error:
        yield fail(str(error))
        return
    yield from removed(plan, lambda: _installation(plan), NOTHING)
    if works:
        yield FunctionCommand(_await_end, (plan,), {})


def _working_parts(host: Host, plan: ClusterPlan) -> list[str]:
    """Return the names of the operator's Deployment and pods in the namespace.

    OLM copies the annotations of the installed version to the template of its Deployment
    (``templateAnnotations`` in pkg/controller/install), and of Quay's operator the pods read this
    one. Unlike labels of OLM's, the pods have it too, and they may outlive both.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    annotation = "metadata.annotations.quay-version"
    output = kubectl.ask(
        host, plan.access, "get", f"{DEPLOYMENT.argument},pods",
        "--output=jsonpath={range .items[*]}{.kind} {.metadata.name} "
        f"{{.{annotation}}}{{.spec.template.{annotation}}}{{\"\\n\"}}{{end}}",
    )  # fmt: skip
    lines = [line.split() for line in output.splitlines()]
    return [" ".join(words[:2]) for words in lines if len(words) > 2]


def _await_end(state: State, host: Host, plan: ClusterPlan) -> bool:
    """Wait until nothing of the operator is left: a pod that still works would make the registry's
    objects its own again, and Kubernetes would then remove them, data included."""

    def look() -> Look:
        parts = _working_parts(host, plan)
        return Look(not parts, False, lambda: parts, len(parts))

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
