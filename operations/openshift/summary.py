"""The summary of a run on a cluster, and the registry's status there."""

from __future__ import annotations

from collections.abc import Callable, Generator

from pyinfra import host
from pyinfra.api import operation
from pyinfra.api.command import PyinfraCommand
from rich.console import Console

from operations.hosts import reach
from operations.openshift import kubectl, operator
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import drift, present
from operations.openshift.registry import front_of, health_line, opened
from operations.openshift.workloads import events_of, state_of
from operations.runtime.phases import postpone
from operations.status import table_of
from operations.summary import panel
from quaylab.clients.probes import Unreachable
from quaylab.clients.registry import RegistryError
from quaylab.openshift.backing import shortage
from quaylab.openshift.layout import REGISTRY, is_known_inside
from quaylab.openshift.objects import CLAIM, DEPLOYMENT, QUAY_REGISTRY
from quaylab.openshift.operator.description import channel
from quaylab.openshift.operator.state import current_version
from quaylab.openshift.plan import ClusterPlan
from quaylab.openshift.refusals import ending_problems
from quaylab.services import BY_NAME

INSIDE = "from inside the cluster"
BY_OPERATOR = "the health of all components, by the operator"


@operation()
def printed(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Print address, superuser, credentials, health and versions. It changes nothing.

    + plan: the run's plan
    """
    if postpone("printed when the run comes to it"):
        return
    # stderr, beside pyinfra's own output: stdout may hold --json.
    version = _version(plan)
    framed = panel(f"Quay {version}", _rows(plan, version))
    Console(stderr=True, highlight=False).print(framed)
    host.noop("the summary was printed")
    yield from ()


def _rows(plan: ClusterPlan, version: str) -> list[tuple[str, str]]:
    settings, topology, store = plan.registry.settings, plan.registry.topology, plan.registry.store
    try:
        health = health_line(host, plan)
        reached = f"clients without DNS need {topology.hostname} at {front_of(host, plan)}"
    except RegistryError as error:
        health, reached = f"[red]{error}[/red]", "not known"
    rows = [
        ("Address", topology.url),
        ("Cluster", f"{plan.cluster.server}, namespace {plan.access.namespace}"),
        ("Superuser", f"{settings.quay_superuser}, password in {store.path}"),
        ("Reach it", reached),
        ("Log in", f"docker login -u {settings.quay_superuser} {topology.registry}"),
    ]
    if plan.registry.certificate.ca:
        trusted = f"{store.ca_path}; Docker clients trust it as {topology.docker_trust}"
        rows.append(("CA", trusted))
    return [
        *rows,
        ("Version", version),
        ("Health", health),
        *[("Volume", each) for each in _small_volumes(plan)],
        ("Checked", _checked(plan)),
        ("Verified", "login, push, pull and delete of an image over TLS"),
    ]


def _small_volumes(plan: ClusterPlan) -> list[str]:
    """Return the claims whose volumes have not grown to what the claims ask for, or not yet."""
    claims = [each for each in plan.description.lasting if each.kind is CLAIM]
    try:
        found = present(host, plan, claims)
    except ClusterError as error:
        return [str(error)]
    lines = []
    for each in found:
        if lack := shortage(each):
            name = each["metadata"]["name"]
            said = events_of(host, plan, CLAIM.name, name)[-1:]
            lines.append("; ".join([f"{CLAIM.name} {name}: {lack}", *said]))
    return lines


def _version(plan: ClusterPlan) -> str:
    """Return the version of Quay's that runs: within a channel the operator chooses it."""
    if not plan.is_operated:
        return plan.registry.version
    try:
        registry = kubectl.named(host, plan.access, QUAY_REGISTRY, REGISTRY)
    except ClusterError:
        registry = None
    return current_version(registry) or "of an unknown version"


def _checked(plan: ClusterPlan) -> str:
    """Say from where the services' addresses were tried, and from where their logins."""
    endpoints = plan.registry.topology.endpoints.items()
    elsewhere = [(BY_NAME[name].title, each) for name, each in endpoints if each.is_elsewhere]
    inside = [title for title, each in elsewhere if is_known_inside(each)]
    outside = [title for title, each in elsewhere if not is_known_inside(each)]
    tried = ["the services' addresses", *([f"the logins of {', '.join(inside)}"] if inside else [])]
    checked = BY_OPERATOR if plan.is_operated else f"{' and '.join(tried)} {INSIDE}"
    logins = f"; the logins of {', '.join(outside)} from {host.name}" if outside else ""
    return checked + logins


@operation()
def status_printed(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Print one line for each part, and the objects that differ from their description; fail if a
    part is broken. It changes nothing.

    + plan: the run's plan
    """
    if postpone("printed when the run comes to it"):
        return
    topology = plan.registry.topology
    parts: dict[str, Callable[[ClusterPlan], str]] = {"Objects": _objects}
    if plan.is_operated:
        parts |= {"Operator": _operator, "Quay": _operated_quay}
    for each in plan.description.lasting:
        if each.kind is DEPLOYMENT:
            parts[BY_NAME[each.component].title] = _Deployment(each.name)
    for name, endpoint in topology.endpoints.items():
        # Of a service that is known only inside, the health from end to end tells.
        if endpoint.is_elsewhere and not is_known_inside(endpoint):
            parts[BY_NAME[name].title] = _Elsewhere(name)
    parts |= {"End to end": _end_to_end, "Certificate": _certificate}
    yield from table_of(plan, parts, (RegistryError, Unreachable, ClusterError))


def _objects(plan: ClusterPlan) -> str:
    wanted = plan.description.lasting
    if problems := list(ending_problems(plan.cluster)):
        raise RegistryError("\n".join(problems))
    found = drift(host, plan, wanted)
    place = f"{plan.cluster.server}, namespace {plan.access.namespace}"
    summary = place if found else f"{len(wanted)} as described, at {place}"
    drifted = (f"{kind} {name}: {how}" for (kind, name), how in found.items())
    return "\n".join([summary, *drifted, *_small_volumes(plan)])


class _Deployment:
    """The question whether a deployment's pods run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, plan: ClusterPlan) -> str:
        found = state_of(host, plan)
        if self.name not in found.deployments:
            raise RegistryError("there is no deployment; ./lab up brings it back")
        if not found.is_rolled_out(self.name):
            reasons = "; ".join(dict.fromkeys(map(str, found.deployment_reasons(self.name))))
            raise RegistryError(reasons or "not all pods are ready")
        pods = found.deployments[self.name]["spec"]["replicas"]
        if not pods:
            raise RegistryError("scaled to 0 pods; ./lab up brings them back")
        return f"{pods} ready"


def _operator(plan: ClusterPlan) -> str:
    wanted, found = channel(plan.registry.settings), operator.installation_of(host, plan)
    if not found.is_done(wanted):
        raise RegistryError(found.failure or found.reason(wanted))
    return f"{found.installed} of channel {wanted} runs"


def _operated_quay(plan: ClusterPlan) -> str:
    found = operator.registry_of(host, plan)
    if not operator.is_made(host, plan, found):
        reasons = [*found.failing, *dict.fromkeys(map(str, found.reasons))]
        raise RegistryError("; ".join(reasons) or "the operator has not finished yet")
    return f"{found.current_version} is available, {plan.operator.replicas} ready"


class _Elsewhere:
    """The question to a service that runs elsewhere."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, plan: ClusterPlan) -> str:
        return f"{reach.QUESTIONS[self.name](host, plan.registry)}, asked from {host.name}"


def _end_to_end(plan: ClusterPlan) -> str:
    return health_line(host, plan)


def _certificate(plan: ClusterPlan) -> str:
    with opened(host, plan) as client:
        return f"{client.days_left()} days left"
