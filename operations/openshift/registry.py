"""The registry in the cluster, as clients reach it: its first user, its verification."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

from pyinfra import host, state
from pyinfra.api import FunctionCommand, Host, State, operation
from pyinfra.api.command import PyinfraCommand

from operations.hosts import reach
from operations.openshift import kubectl
from operations.openshift.kubectl import ClusterError
from operations.runtime.commands import complain, fail
from operations.runtime.observation import recall
from operations.runtime.phases import postpone
from operations.services import superuser
from quaylab.clients.probes import Unreachable
from quaylab.clients.registry import Registry, RegistryError
from quaylab.openshift import front
from quaylab.openshift.objects import DIGEST
from quaylab.openshift.operator.state import current_version
from quaylab.openshift.plan import VERIFIED, ClusterPlan, verification


@operation()
def reachable(plan: ClusterPlan) -> Generator[FunctionCommand]:
    """Wait until the registry answers where clients reach it.

    + plan: the run's plan
    """
    if superuser.refusal(partial(opened, host, plan)) is None:
        host.noop(f"{plan.registry.topology.url} answers")
        return
    yield FunctionCommand(_await_front, (plan,), {})


def _await_front(state: State, host: Host, plan: ClusterPlan) -> bool:
    timeout = plan.registry.settings.health_timeout
    reason = superuser.await_answer(partial(opened, host, plan), timeout, pause=1)
    if reason is None:
        return True
    return complain(
        host,
        f"Quay's pods are ready, but {plan.registry.topology.url} doesn't answer from "
        f"{host.name} within {timeout} s: {reason}",
    )


@contextmanager
def opened(host: Host, plan: ClusterPlan) -> Iterator[Registry]:
    """Open a client of the registry where clients reach it.

    Raises:
        RegistryError: it can't be reached, or the cluster doesn't say where.
    """
    registry = plan.registry
    certificate, port = registry.certificate, registry.topology.https_port
    with reach.registry_at(host, registry, front_of(host, plan), port, certificate) as client:
        yield client


def front_of(host: Host, plan: ClusterPlan) -> str:
    """Return the name or address at which the cluster lets clients in.

    Raises:
        RegistryError: the cluster doesn't say it, or the router refuses the route.
    """
    return recall(host, "front", lambda: _present_front(host, plan))


def _present_front(host: Host, plan: ClusterPlan) -> str:
    exposed = plan.description.front
    try:
        found = kubectl.existing(host, plan.access, [plan.scope.manifest(exposed)])
    except ClusterError as error:
        raise RegistryError(str(error)) from None
    if not found:
        raise RegistryError(f"{exposed} is not there")
    if refusal := front.refusal(found[0]):
        raise RegistryError(
            f"{exposed}: the router refuses {plan.registry.topology.hostname}: {refusal}"
        )
    address = front.address(found[0])
    if address is None:
        raise RegistryError(
            f"{exposed}: the cluster has given it no address; does a controller for it run there?"
        )
    return address


@operation()
def superuser_present(plan: ClusterPlan) -> Generator[FunctionCommand]:
    """Create Quay's first user, and check that it is a superuser.

    + plan: the run's plan
    """
    open_registry = partial(opened, host, plan)
    is_refused = False
    if not plan.registry.credentials.superuser_passwords_before:
        known = superuser.is_known(plan.registry, open_registry)
        if known:
            host.noop(f"{plan.registry.settings.quay_superuser} is there and a superuser")
            return
        if known is None and plan.schema and postpone("asked when the run has brought Quay up"):
            return
        is_refused = known is False
    yield FunctionCommand(_create_superuser, (plan, is_refused), {})


def _create_superuser(state: State, host: Host, plan: ClusterPlan, is_refused: bool) -> bool:
    return superuser.create(host, plan.registry, partial(opened, host, plan), is_refused)


@operation()
def verified(plan: ClusterPlan) -> Generator[PyinfraCommand]:
    """Verify that everything works: ``/health/endtoend``, and a login, push, pull and delete if the
    deployment is not the one that was verified last.

    + plan: the run's plan
    """
    try:
        mark, noted = _mark(host, plan)
    except ClusterError:
        mark = noted = None  # there is no namespace yet
    is_verified = mark is not None and mark == noted
    if state.is_executing:
        try:
            health = health_line(host, plan)
        except (RegistryError, Unreachable) as error:
            yield fail(str(error))
            return
        if is_verified:
            host.noop(health)
            return
    elif is_verified:
        host.noop("asked when the run comes to it")
        return
    yield FunctionCommand(_round_trip, (plan,), {})
    if mark:
        yield kubectl.applied(plan.access, [plan.scope.manifest(verification(mark))])


def _mark(host: Host, plan: ClusterPlan) -> tuple[str | None, str | None]:
    """Return what tells the present deployment from others, and that of the one verified last."""
    subject = plan.description.verified
    wanted = [plan.scope.manifest(each) for each in (subject, verification(""))]
    found = {each["metadata"]["name"]: each for each in kubectl.existing(host, plan.access, wanted)}
    mark = noted = None
    if present := found.get(subject.name):
        digest = plan.scope.manifest(subject)["metadata"]["annotations"][DIGEST]
        # The operator goes to a newer release of Quay's by itself.
        mark = f"{present['metadata']['uid']} {digest} {current_version(present)}".rstrip()
    if VERIFIED in found:
        noted = str((found[VERIFIED].get("data") or {}).get("quay"))
    return mark, noted


def _round_trip(state: State, host: Host, plan: ClusterPlan) -> bool:
    return superuser.round_trip(host, plan.registry, partial(opened, host, plan))


def health_line(host: Host, plan: ClusterPlan) -> str:
    """Return the health of database, Redis and storage in one line.

    Raises:
        RegistryError: the registry doesn't answer, or its end-to-end health is bad.
    """
    health = superuser.good_health(plan.registry, partial(opened, host, plan))
    return f"{', '.join(health.services)} healthy"
