"""What OLM and Quay's operator answer, in the words of their sources."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from quaylab.openshift.objects import CONFIGURATION
from quaylab.openshift.operator.description import APP, release
from quaylab.openshift.operator.state import (
    Installation,
    Package,
    RegistryState,
    noted_version,
    teardown_note,
)
from quaylab.openshift.workloads import Workloads


def _condition(kind: str, status: bool, reason: str = "", message: str = "", at: str = "") -> Any:
    return {
        "type": kind,
        "status": str(status),
        "reason": reason,
        "message": message,
        "lastUpdateTime": at,
    }


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("stable-3.18", (3, 18)),
        ("quay-operator.v3.18.2", (3, 18)),
        ("v3.9.0", (3, 9)),
        ("3.15.4-1", (3, 15)),
        ("", (0, 0)),
    ],
)
def test_releases(text: str, numbers: tuple[int, int]) -> None:
    assert release(text) == numbers


def test_a_package_has_the_channels_of_its_catalogue() -> None:
    status = {
        "catalogSource": "redhat-operators",
        "catalogSourceNamespace": "openshift-marketplace",
        "channels": [{"name": "stable-3.17"}, {"name": "stable-3.18"}],
    }
    found = Package.of({"status": status})
    assert found == Package(
        "redhat-operators", "openshift-marketplace", ("stable-3.17", "stable-3.18")
    )


# --- the installation ---


def _installation(
    phase: str | None, *conditions: Any, installed: str = "quay-operator.v3.18.2"
) -> Installation:
    status: dict[str, Any] = {"conditions": list(conditions)}
    version = None
    if phase:
        status["installedCSV"] = installed
        version = {
            "metadata": {"annotations": {"quay-version": "v3.18.2"}},
            "status": {"phase": phase, "reason": "Why", "message": "and what"},
        }
    return Installation({"status": status}, version)


@pytest.mark.parametrize(
    ("found", "done", "failure", "reason"),
    [
        (_installation("Succeeded"), True, None, None),
        (Installation(None, None), False, None, "OLM has installed nothing yet"),
        (_installation("Installing"), False, None, "quay-operator.v3.18.2: Installing: and what"),
        (_installation("Failed"), False, "quay-operator.v3.18.2: Why: and what", None),
        (
            _installation("Succeeded", installed="quay-operator.v3.15.1"),
            False,
            None,
            "it stays at quay-operator.v3.15.1: the catalogue has no upgrade from it to",
        ),
        (
            _installation(None, _condition("ResolutionFailed", True, "ConstraintsNotSatisfiable")),
            False,
            None,
            "ResolutionFailed: ConstraintsNotSatisfiable",
        ),
        (
            _installation(None, _condition("InstallPlanFailed", True, "", "no rights")),
            False,
            "InstallPlanFailed: no rights",
            None,
        ),
        (_installation(None, _condition("InstallPlanFailed", False)), False, None, "OLM has"),
    ],
    ids=["done", "nothing", "going on", "failed", "no path", "unresolved", "plan", "good"],
)
def test_installations(
    found: Installation, done: bool, failure: str | None, reason: str | None
) -> None:
    assert found.is_done("stable-3.18") is done
    assert found.failure == failure
    if reason:
        assert found.reason("stable-3.18").startswith(reason)


def test_an_install_plan_that_waits_for_approval() -> None:
    waits = _condition("InstallPlanPending", True, "RequiresApproval")
    found = _installation(None, waits)
    assert found.subscription
    found.subscription["status"]["installPlanRef"] = {"name": "install-x7"}
    assert found.reason("stable-3.18").startswith("the install plan install-x7 waits for approval")
    assert "kubectl patch installplan install-x7 --type=merge" in found.reason("stable-3.18")


@pytest.mark.parametrize(
    ("note", "verified", "version"),
    [
        (None, {"data": {"quay": "uid digest v3.17.4"}}, "v3.17.4"),
        ({"data": {}}, {"data": {"quay": "uid digest"}}, ""),
        ({"data": {}}, {}, ""),
        (None, None, ""),
        # It was taken down before the verification, or another one was made after it.
        ({"data": {"schema": "v3.18.2"}}, {"data": {"quay": "uid digest v3.17.4"}}, "v3.18.2"),
        ({"data": {"schema": "v3.17.4"}}, {"data": {"quay": "uid digest v3.18.2"}}, "v3.18.2"),
    ],
)
def test_the_version_in_the_notes(
    note: dict[str, Any] | None, verified: dict[str, Any] | None, version: str
) -> None:
    assert noted_version(note, verified) == version


def test_what_a_teardown_notes() -> None:
    subscription = {"status": {"installedCSV": "quay-operator.v3.18.2"}}
    registry = {"status": {"currentVersion": "v3.17.4"}}
    noted = {"schema": "v3.17.4", "operator": "quay-operator.v3.18.2"}
    assert teardown_note(registry, subscription) == noted
    # A killed teardown has noted it already.
    assert teardown_note({}, None) == {}
    # There are no data.
    assert teardown_note(None, subscription) == {}


def test_the_operator_names_its_version_of_quay() -> None:
    assert _installation("Succeeded").quay_version == "v3.18.2"
    assert Installation(None, None).quay_version is None


# --- the registry ---

AVAILABLE = _condition("Available", True, "HealthChecksPassing")
UNBLOCKED = _condition("RolloutBlocked", False, "ComponentsCreationSuccess")
BLOCKED = _condition("RolloutBlocked", True, "ConfigInvalid", "redis is wrong", at="10:00:00")


def _app(replicas: int = 2, ready: int = 2, configuration: str = "digest") -> dict[str, Any]:
    annotations = {CONFIGURATION: configuration}
    return {
        "metadata": {"name": APP, "generation": 3},
        "spec": {"replicas": replicas, "template": {"metadata": {"annotations": annotations}}},
        "status": {
            "observedGeneration": 3,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": ready,
        },
    }


def _registry(
    *conditions: Any, app: dict[str, Any] | None = None, version: str = "v3.18.2"
) -> RegistryState:
    registry = {"status": {"currentVersion": version, "conditions": list(conditions)}}
    workloads = Workloads({APP: app or _app()}, {}, ())
    return RegistryState(registry, workloads, "digest")


@pytest.mark.parametrize(
    ("found", "done"),
    [
        (_registry(AVAILABLE, UNBLOCKED), True),
        (_registry(), False),
        (_registry(AVAILABLE, BLOCKED), False),
        (_registry(AVAILABLE, UNBLOCKED, version="v3.17.4"), False),
        (_registry(AVAILABLE, UNBLOCKED, app=_app(configuration="older")), False),
        (_registry(AVAILABLE, UNBLOCKED, app=_app(replicas=0, ready=0)), False),
        (_registry(AVAILABLE, UNBLOCKED, app=_app(ready=1)), False),
        (RegistryState(None), False),
    ],
    ids=["done", "silent", "blocked", "version", "bundle", "scaled down", "not ready", "missing"],
)
def test_a_registry_is_done(found: RegistryState, done: bool) -> None:
    """Its conditions alone would not do: they may be a minute old."""
    assert found.is_done(2, "v3.18.2") is done


@pytest.mark.parametrize(("observed", "done"), [(None, True), (4, False), (5, True)])
def test_a_registry_that_the_operator_has_not_looked_at(observed: int | None, done: bool) -> None:
    """Operators before 3.17 don't say which description they have made the objects of."""
    found = _registry(AVAILABLE, UNBLOCKED)
    assert found.registry
    status = {**found.registry["status"], **({"observedGeneration": observed} if observed else {})}
    registry = {"metadata": {"generation": 5}, "status": status}
    assert dataclasses.replace(found, registry=registry).is_done(2, "v3.18.2") is done


def test_conditions_that_are_not_as_they_should_be() -> None:
    migrating = _condition("ComponentsCreated", False, "MigrationsInProgress", "running")
    found = _registry(_condition("Available", False, "ComponentNotReady"), BLOCKED, migrating)
    assert found.failing == [
        "Available: ComponentNotReady",
        "RolloutBlocked: ConfigInvalid: redis is wrong",
        "ComponentsCreated: MigrationsInProgress: running",
    ]
    assert _registry(AVAILABLE, UNBLOCKED).failing == []
    assert RegistryState(None).failing == ["there is no QuayRegistry"]


def test_the_operator_gives_up_on_some_reasons_alone() -> None:
    waits = _condition("RolloutBlocked", True, "ObjectStorageComponentDependencyError")
    assert _registry(waits).blocked is None
    assert _registry(UNBLOCKED).blocked is None
    assert _registry(BLOCKED).blocked == (
        "RolloutBlocked: ConfigInvalid: redis is wrong",
        "10:00:00",
    )


def _pod(name: str, annotations: dict[str, str], **more: Any) -> dict[str, Any]:
    waiting = {"reason": "ImagePullBackOff", "message": "back-off"}
    state = {"name": "c", "state": {"waiting": waiting}}
    return {
        "metadata": {"name": name, "labels": {}, "annotations": annotations, **more},
        "spec": {},
        "status": {"containerStatuses": [state]},
    }


def test_pods_that_go_are_no_reason() -> None:
    pods = [
        _pod("old", {CONFIGURATION: "older"}),
        _pod("deleted", {CONFIGURATION: "digest"}, deletionTimestamp="2026-11-27T10:00:00Z"),
    ]
    found = RegistryState({}, Workloads({}, {}, pods), "digest")
    assert found.reasons == []
    assert not found.failures


def test_pods_that_do_not_run() -> None:
    pods = [_pod("new", {CONFIGURATION: "digest"}), _pod("database", {})]
    found = RegistryState({}, Workloads({}, {}, pods), "digest")
    assert [each.pod for each in found.reasons] == ["new", "database"]
    assert {each.pod for each in found.failures} == {"new", "database"}


def test_the_operators_job_is_waited_for() -> None:
    """It starts before the database."""
    job = _pod("upgrade", {}, labels={"job-name": "quaylab-quay-app-upgrade"})
    found = RegistryState({}, Workloads({}, {}, [job]), "digest")
    assert [each.pod for each in found.reasons] == ["upgrade"]
    assert not found.failures
