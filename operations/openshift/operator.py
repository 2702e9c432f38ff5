"""Quay's operator: installed by OLM, and waited for until it has made the registry."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, operation
from pyinfra.api.command import PyinfraCommand

from operations.openshift import kubectl, workloads
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import changes, names_of, removed
from operations.openshift.waiting import Look, until_done
from quaylab.openshift.layout import REGISTRY
from quaylab.openshift.objects import QUAY_REGISTRY, SERVICE_VERSION, SUBSCRIPTION, Kind
from quaylab.openshift.operator.description import LEFT_PARTS, PARTS, channel
from quaylab.openshift.operator.state import Installation, RegistryState, installed_version
from quaylab.openshift.plan import ClusterPlan


@operation()
def installed(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Have OLM install the operator, or go to another channel, and wait until it runs.

    + plan: the run's plan
    """
    commands = list(changes(plan, list(plan.operator.installation)))
    yield from commands
    if commands or not _is_installed(plan):
        yield FunctionCommand(_await_installation, (plan,), {})


@operation()
def running(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Have the operator make the registry, and wait until it is available, in the operator's
    version of Quay and with the present bundle.

    + plan: the run's plan
    """
    commands = list(changes(plan, [plan.operator.registry]))
    yield from commands
    if commands or not _is_running(plan):
        yield FunctionCommand(_await_registry, (plan,), {})


@operation()
def former_parts_removed(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Remove what the operator made for components that it no longer looks after: such as a route,
    which would still lead clients to Quay. Data stays.

    + plan: the run's plan
    """

    def find() -> dict[Kind, list[str]]:
        former: dict[Kind, list[str]] = {}
        for component, (label, kinds) in LEFT_PARTS.items():
            if component in plan.operator.unmanaged:
                found = names_of(host, plan, kinds, {**PARTS, "quay-component": label})
                for kind, names in found.items():
                    former.setdefault(kind, []).extend(names)
        return former

    yield from removed(plan, find, "nothing of such components is there")


def installation_of(host: Host, plan: ClusterPlan) -> Installation:
    """Return what OLM says of the operator.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    name = plan.registry.settings.openshift_operator
    subscription = kubectl.named(host, plan.access, SUBSCRIPTION, name)
    version = None
    if csv := installed_version(subscription):
        version = kubectl.named(host, plan.access, SERVICE_VERSION, csv)
    return Installation(subscription, version)


def registry_of(host: Host, plan: ClusterPlan) -> RegistryState:
    """Return what the operator says of the registry.

    Raises:
        ClusterError: the cluster can't be asked, or the operator is not there yet.
    """
    return RegistryState(
        kubectl.named(host, plan.access, QUAY_REGISTRY, REGISTRY),
        workloads.with_labels(host, plan, PARTS),
        plan.operator.configuration,
    )


def is_made(host: Host, plan: ClusterPlan, registry: RegistryState) -> bool:
    """Whether the operator has nothing left to do.

    Raises:
        ClusterError: the cluster can't be asked.
    """
    version = installation_of(host, plan).quay_version
    return registry.is_done(plan.operator.replicas, version)


def _is_installed(plan: ClusterPlan) -> bool:
    try:
        return installation_of(host, plan).is_done(channel(plan.registry.settings))
    except ClusterError:
        return False


def _is_running(plan: ClusterPlan) -> bool:
    try:
        return is_made(host, plan, registry_of(host, plan))
    except ClusterError:
        return False


def _await_installation(state: State, host: Host, plan: ClusterPlan) -> bool:
    wanted = channel(plan.registry.settings)

    def look() -> Look:
        found = installation_of(host, plan)
        reason = found.failure or found.reason(wanted)
        return Look(found.is_done(wanted), found.failure is not None, lambda: [reason], reason)

    trouble = "Quay's operator does not run"
    return until_done(host, plan, look, trouble, trouble)


def _await_registry(state: State, host: Host, plan: ClusterPlan) -> bool:
    # What failed before this run: the operator has not looked at the present objects yet, and the
    # cluster goes on starting pods that ended.
    before: RegistryState | None = None

    def look() -> Look:
        nonlocal before
        found = registry_of(host, plan)
        before = before or found
        is_blocked = found.blocked not in (None, before.blocked)
        return Look(
            is_made(host, plan, found),
            is_blocked or bool(found.failures - before.failures),
            lambda: [*found.failing, *workloads.explained(host, plan, found.reasons)],
            found.progress,
        )

    trouble = "the registry is not available"
    return until_done(host, plan, look, trouble, trouble)
