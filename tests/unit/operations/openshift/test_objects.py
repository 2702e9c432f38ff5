"""Objects of a cluster that a run removes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from operations.openshift import objects, operator
from operations.openshift.kubectl import ClusterError
from quaylab.openshift.cluster import Access
from quaylab.openshift.objects import DEPLOYMENT, ROUTE, SERVICE, Kind
from quaylab.openshift.plan import ClusterPlan
from tests.unit import clusters
from tests.unit.fake_host import FakeHost, text

ACCESS = Access("/home/me/.kube/config", "lab", "quay-enterprise")
Names = Mapping[Kind, Iterable[str]]


def plan_of(groups: frozenset[str] = clusters.CLUSTER.groups) -> ClusterPlan:
    """Return as much of a plan as removals read: the operator looks after neither Redis nor the
    route."""
    found = SimpleNamespace(
        access=ACCESS,
        cluster=replace(clusters.CLUSTER, groups=groups),
        scope=clusters.SCOPE,
        operator=SimpleNamespace(unmanaged=("redis", "route")),
    )
    return cast("ClusterPlan", found)


def removals(host: FakeHost, find: Callable[[], Names]) -> list[str]:
    with host.current():
        return [text(each) for each in objects.removed(plan_of(), find, "nothing is there")]


def test_what_is_found_is_removed_in_one_call() -> None:
    host = FakeHost()
    (call,) = removals(host, lambda: {SERVICE: ["redis"], ROUTE: [], DEPLOYMENT: ["a", "b"]})
    assert "delete services/redis deployments.v1.apps/a deployments.v1.apps/b" in call
    assert host.noops == []


def test_the_reason_is_reported_if_nothing_is_found() -> None:
    host = FakeHost()
    assert removals(host, lambda: {SERVICE: [], ROUTE: []}) == []
    assert host.noops == ["nothing is there"]


def test_a_cluster_that_can_not_be_asked_fails_the_host() -> None:
    host = FakeHost()

    def find() -> Names:
        raise ClusterError("Unable to connect to the server: refused")

    (call,) = removals(host, find)
    assert "Unable to connect to the server: refused" in call


def test_an_object_of_a_kind_that_the_cluster_lacks_is_absent() -> None:
    host = FakeHost()
    arguments = {"plan": plan_of(frozenset()), "kind": ROUTE, "object_name": "quaylab-quay"}
    assert host.shell(objects.absent, **arguments) == []
    assert host.noops == ["there is no Route quaylab-quay"]


def test_two_components_may_leave_objects_of_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost()
    left = {"redis": ("redis", (SERVICE,)), "route": ("quay-app-route", (SERVICE, ROUTE))}

    def names_of(
        host: object, plan: ClusterPlan, kinds: Iterable[Kind], labels: Mapping[str, str]
    ) -> dict[Kind, list[str]]:
        return {each: [labels["quay-component"]] for each in kinds}

    monkeypatch.setattr(operator, "LEFT_PARTS", left)
    monkeypatch.setattr(operator, "names_of", names_of)
    (call,) = host.shell(operator.former_parts_removed, plan=plan_of())
    assert "delete services/redis services/quay-app-route routes.v1.route.openshift" in call
