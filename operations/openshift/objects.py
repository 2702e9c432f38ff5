"""Objects in the cluster: made as described, repaired, and removed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping

from pyinfra import host, state
from pyinfra.api import Host, StringCommand, operation

from operations.openshift import inquiry, kubectl
from operations.openshift.kubectl import ClusterError
from operations.runtime import observation
from operations.runtime.commands import fail
from operations.runtime.observation import recall
from quaylab.openshift import front
from quaylab.openshift.cluster import host_choice
from quaylab.openshift.objects import (
    OWNER,
    QUAY_REGISTRY,
    Kind,
    Manifest,
    Object,
    differences,
    digest_of,
    is_ending,
    key_of,
)
from quaylab.openshift.plan import ClusterPlan

# The cache's names for the objects that are there, and for how they differ from their descriptions.
FOUND, DRIFT = "objects that are there", "objects of the cluster"
# How an object differs that this run makes or changes.
MISSING, OTHERWISE, ENDING = "missing", "described otherwise", "being deleted"
MADE_BY_THIS_RUN = (MISSING, OTHERWISE, ENDING)
# A route that has to be made anew.
MOVED = "for another host"


@operation()
def namespace_present(plan: ClusterPlan) -> Generator[StringCommand]:
    """Create the namespace if it is missing. One that is there stays as it is.

    + plan: the run's plan
    """
    name = plan.access.namespace
    if plan.cluster.phase:
        host.noop(f"namespace {name} is there")
        return
    manifest = plan.scope.manifest(plan.description.namespace)
    yield kubectl.command(
        plan.access, "create", kubectl.FROM_INPUT, after=">/dev/null",
        stdin=kubectl.as_input([manifest]),
    )  # fmt: skip


@operation()
def applied(plan: ClusterPlan, objects: Iterable[Object]) -> Generator[StringCommand]:
    """Make objects as described. Fields that others have added stay.

    + plan: the run's plan
    + objects: the objects

    **Example:**

    .. code:: python

        objects.applied(name="Lead clients to Quay", plan=plan, objects=description.exposure)
    """
    yield from changes(plan, list(objects))


def changes(plan: ClusterPlan, wanted: list[Object]) -> Generator[StringCommand]:
    """Yield the call that makes objects as described, if one of them is not."""
    try:
        states = drift(host, plan, wanted)
    except ClusterError as error:
        yield fail(str(error))
        return
    if not states:
        host.noop(f"as described: {', '.join(map(str, wanted))}")
        return
    yield from ended(plan, [each for each in wanted if states.get(each.key) in (ENDING, MOVED)])
    yield kubectl.applied(
        plan.access, [plan.scope.manifest(each) for each in wanted if each.key in states]
    )


def ended(plan: ClusterPlan, objects: Iterable[Object]) -> Generator[StringCommand]:
    """Yield the calls that delete objects and wait for their end, so that they can be made anew.

    Some are being deleted: such as those of a teardown that was killed. What is applied to one
    before goes with it. Their deletion is asked for again, which changes nothing: a QuayRegistry's
    as it was begun, so that its data stays.
    """
    for each in objects:
        cascade = "orphan" if each.kind is QUAY_REGISTRY else "foreground"
        yield kubectl.deleted(plan.access, {each.kind: [each.name]}, cascade)


def observe(host: Host, plan: ClusterPlan) -> None:
    """Compare all objects with their descriptions, once for a run without changes.

    Raises:
        ClusterError: the cluster can't be asked, or refuses one of them.
    """
    observation.begin(host, {}, {})
    wanted = (*plan.description.lasting, plan.description.note)
    recall(host, FOUND, lambda: plan.cluster.found)
    recall(host, DRIFT, lambda: _drift(host, plan, wanted, plan.cluster.found))


def present(host: Host, plan: ClusterPlan, wanted: Iterable[Object]) -> list[Manifest]:
    """Return those of the objects that are there.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    known: Mapping[tuple[str, str], Manifest] | None = recall(host, FOUND, lambda: None)
    if known is None:
        return list(kubectl.existing(host, plan.access, map(plan.scope.manifest, wanted)))
    return [known[each.key] for each in wanted if each.key in known]


def drift(host: Host, plan: ClusterPlan, wanted: Iterable[Object]) -> dict[tuple[str, str], str]:
    """Return how objects differ from their descriptions, in words, by kind and name.

    Raises:
        ClusterError: the cluster can't be asked, or refuses one of them.
    """
    known: dict[tuple[str, str], str] | None = recall(host, DRIFT, lambda: None)
    if known is None:
        return _drift(host, plan, wanted)
    return {each.key: known[each.key] for each in wanted if each.key in known}


def _drift(
    host: Host,
    plan: ClusterPlan,
    wanted: Iterable[Object],
    known: Mapping[tuple[str, str], Manifest] | None = None,
) -> dict[tuple[str, str], str]:
    """Compare objects with their descriptions; ``known`` are those that are there, if that is known
    already."""
    wanted = list(wanted)
    manifests = [plan.scope.manifest(each) for each in wanted]
    if not manifests:
        return {}
    if plan.cluster.phase is None and not state.is_executing:
        # There is no namespace in which the server could rehearse.
        return {key_of(each): MISSING for each in manifests}
    # The operator brings its kinds with it.
    states = {each.key: MISSING for each in wanted if not plan.cluster.has(each.kind)}
    manifests = [each for each in manifests if key_of(each) not in states]
    if known is None:
        known = {key_of(each): each for each in kubectl.existing(host, plan.access, manifests)}
    moved = [each for each in manifests if front.has_moved(known.get(key_of(each)), each)]
    change = host_choice("update", plan.access.namespace)
    if moved and inquiry.lacking(host, plan.access, [change]):
        # The role `admin` may choose a route's host, and not change it.
        states |= {key_of(each): MOVED for each in moved}
        manifests = [each for each in manifests if each not in moved]
    for each in kubectl.rehearsed(host, plan.access, manifests):
        before = known.get(key_of(each))
        if before is None:
            states[key_of(each)] = MISSING
        elif is_ending(before):
            states[key_of(each)] = ENDING
        elif paths := differences(before, each):
            is_changed_here = digest_of(before) != digest_of(each)
            states[key_of(each)] = OTHERWISE if is_changed_here else f"changed: {', '.join(paths)}"
    return states


@operation()
def absent(plan: ClusterPlan, kind: Kind, object_name: str) -> Generator[StringCommand]:
    """Remove one of this registry's objects, and wait until it is gone.

    + plan: the run's plan
    + kind: its kind
    + object_name: its name
    """

    def find() -> dict[Kind, list[str]]:
        found = ours(host, plan, [kind])
        return {each: [name for name in found[each] if name == object_name] for each in found}

    yield from removed(plan, find, f"there is no {kind.name} {object_name}")


def removed(
    plan: ClusterPlan,
    find: Callable[[], Mapping[Kind, Iterable[str]]],
    reason: str,
    cascade: str = "foreground",
) -> Generator[StringCommand]:
    """Yield the call that removes what is found, by kind and name; report this reason if
    nothing is.

    + find: returns the names by kind; a ``ClusterError`` of it fails the host
    + cascade: as in :func:`kubectl.deleted`
    """
    try:
        found = {kind: names for kind, names in find().items() if names}
    except ClusterError as error:
        yield fail(str(error))
        return
    if found:
        yield kubectl.deleted(plan.access, found, cascade)
    else:
        host.noop(reason)


def ours(host: Host, plan: ClusterPlan, kinds: Iterable[Kind]) -> dict[Kind, list[str]]:
    """Return the names of this registry's objects, by kind.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    return names_of(host, plan, kinds, {OWNER: plan.scope.owner})


def names_of(
    host: Host, plan: ClusterPlan, kinds: Iterable[Kind], labels: Mapping[str, str]
) -> dict[Kind, list[str]]:
    """Return the names of objects with these labels, by kind.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    known = [each for each in kinds if plan.cluster.has(each)]
    if not known:
        return {}
    output = kubectl.ask(
        host, plan.access, "get", ",".join(each.argument for each in known),
        f"--selector={kubectl.selector(labels)}",
        "--output=jsonpath={range .items[*]}{.kind} {.metadata.name}{\"\\n\"}{end}",
    )  # fmt: skip
    lines = [line.split() for line in output.splitlines() if line.strip()]
    return {each: [name for kind, name in lines if kind == each.name] for each in known}
