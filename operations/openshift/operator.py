"""Quay's operator: installed by OLM, and waited for until it has made the registry."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from pyinfra import host
from pyinfra.api import FunctionCommand, Host, State, operation
from pyinfra.api.command import PyinfraCommand

from operations.commands import complain
from operations.openshift import kubectl, workloads
from operations.openshift.kubectl import ClusterError
from operations.openshift.objects import changes
from operations.openshift.workloads import INTERVAL
from quaylab.openshift.layout import REGISTRY
from quaylab.openshift.objects import QUAY_REGISTRY, SERVICE_VERSION, SUBSCRIPTION
from quaylab.openshift.operator.description import PARTS, channel
from quaylab.openshift.operator.state import Installation, RegistryState, installed_version
from quaylab.openshift.plan import ClusterPlan


@dataclass(frozen=True)
class _Look:
    """What a look at the cluster has found.

    Attributes:
        has_failed: whether waiting has no sense any more.
        reasons: why it is not done, in the cluster's words.
        progress: changes while it gets on; from then on it has its whole time again.
    """

    is_done: bool
    has_failed: bool
    reasons: Callable[[], list[str]]
    progress: object


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

    def look() -> _Look:
        found = installation_of(host, plan)
        reason = found.failure or found.reason(wanted)
        return _Look(found.is_done(wanted), found.failure is not None, lambda: [reason], reason)

    return _await(host, plan, "Quay's operator does not run", look)


def _await_registry(state: State, host: Host, plan: ClusterPlan) -> bool:
    # What failed before this run: the operator has not looked at the present objects yet, and the
    # cluster goes on starting pods that ended.
    before: list[RegistryState] = []

    def look() -> _Look:
        found = registry_of(host, plan)
        before.append(found)
        is_blocked = found.blocked not in (None, before[0].blocked)
        return _Look(
            is_made(host, plan, found),
            is_blocked or bool(found.failures - before[0].failures),
            lambda: [*found.failing, *_reasons(host, plan, found)],
            found.progress,
        )

    return _await(host, plan, "the registry is not available", look)


def _reasons(host: Host, plan: ClusterPlan, found: RegistryState) -> list[str]:
    """Return why pods don't run, each with the last lines of its container's log."""
    lines: list[str] = []
    for reason in dict.fromkeys(found.reasons):
        lines.append(str(reason))
        if reason.container:
            log = workloads.log(host, plan, reason.pod, reason.container)
            lines += [f"  | {line}" for line in log]
    return lines


def _await(host: Host, plan: ClusterPlan, trouble: str, look: Callable[[], _Look]) -> bool:
    """Look again and again until it is done; else complain of this trouble, with the reasons."""
    timeout = plan.registry.settings.health_timeout
    end, reached, silence = time.monotonic() + timeout, None, ""
    found: _Look | None = None
    while True:
        try:
            found, silence = look(), ""
        except ClusterError as error:
            silence = str(error)
        if found and not silence:
            if found.is_done:
                return True
            if found.has_failed:
                return complain(host, "\n  ".join([trouble, *found.reasons()]))
            if found.progress != reached:
                reached, end = found.progress, time.monotonic() + timeout
        if time.monotonic() > end:
            text = f"{trouble} within {timeout} s"
            if silence or found is None:
                return complain(host, f"{text}: the cluster does not answer: {silence}")
            return complain(host, "\n  ".join([text, *found.reasons()]))
        time.sleep(INTERVAL)
