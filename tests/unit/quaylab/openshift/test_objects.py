"""Manifests, digests and differences of objects; quantities; where clients are let in."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.openshift import front
from quaylab.openshift.objects import DEPLOYMENT, SECRET, Object, Scope, differences
from quaylab.openshift.quantities import number, text
from tests.unit.clusters import SCOPE


def _secret(password: str) -> Object:
    return Object(SECRET, "a-secret", {"data": {"password": password}}, "database")


def test_a_digest_can_not_be_made_without_the_key() -> None:
    """Whoever reads it must not be able to try passwords."""
    other = Scope(SCOPE.namespace, SCOPE.instance, SCOPE.owner, "another-key")
    assert SCOPE.digest("password") != other.digest("password")


def test_a_kind_as_an_argument_names_its_group() -> None:
    assert DEPLOYMENT.argument == "deployments.v1.apps"
    assert SECRET.argument == "secrets"


def test_what_the_server_adds_is_no_difference() -> None:
    wanted = SCOPE.manifest(_secret("x"))
    server = {"uid": "1", "resourceVersion": "2", "generation": 3, "managedFields": []}
    found = {**wanted, "metadata": {**wanted["metadata"], **server}, "status": {"phase": "Bound"}}
    assert differences(found, wanted) == []


def test_differences_are_named_without_values() -> None:
    paths = differences(SCOPE.manifest(_secret("one")), SCOPE.manifest(_secret("two")))
    assert paths == ["data.password", "metadata.annotations.quaylab.io/specification"]


def test_items_of_a_list_are_named() -> None:
    def deployment(image: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": "quay", "image": image}], "args": ["a"]}}

    assert differences(deployment("one"), deployment("two")) == ["spec.containers[quay].image"]
    longer = {"spec": {"containers": [], "args": ["a", "b"]}}
    assert differences(deployment("one"), longer) == ["spec.args", "spec.containers"]


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("500m", 0.5),
        ("2", 2),
        (3, 3),
        ("4Gi", 4 * 2**30),
        ("256Mi", 2**28),
        ("1k", 1000),
        ("1e3", 1000),
    ],
)
def test_quantities(quantity: str | int, value: float) -> None:
    assert number(quantity) == value


@pytest.mark.parametrize(
    ("amount", "shown"), [(4.5 * 2**30, "4.5Gi"), (2**28, "256Mi"), (3, "3"), (0.5, "0.5")]
)
def test_quantities_for_people(amount: float, shown: str) -> None:
    assert text(amount) == shown


@pytest.mark.parametrize("quantity", ["", "much", "1Xi"])
def test_no_quantities(quantity: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        number(quantity)


def _route(status: str, **more: str) -> dict[str, Any]:
    condition = {"type": "Admitted", "status": status, **more}
    entry = {"conditions": [condition], "routerCanonicalHostname": "router.apps.example.com"}
    return {"kind": "Route", "spec": {"host": "quay.example.com"}, "status": {"ingress": [entry]}}


def test_a_route_leads_to_its_router() -> None:
    assert front.address(_route("True")) == "router.apps.example.com"
    assert front.refusal(_route("True")) is None


def test_a_refused_route() -> None:
    route = _route("False", reason="HostAlreadyClaimed", message="route other already exposes it")
    assert front.address(route) is None
    assert front.refusal(route) == "HostAlreadyClaimed: route other already exposes it"


@pytest.mark.parametrize(
    ("status", "address"),
    [
        ({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}, "192.0.2.9"),
        ({"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}, "lb.example.com"),
        ({"loadBalancer": {}}, None),
        ({}, None),
    ],
)
def test_a_load_balancer(status: dict[str, Any], address: str | None) -> None:
    assert front.address({"kind": "Service", "status": status}) == address
