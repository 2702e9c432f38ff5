"""Why Quay's operator can't make a registry, or not from what is there."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from quaylab.openshift import refusals
from quaylab.openshift.cluster import Cluster, rights
from quaylab.openshift.objects import Object
from quaylab.openshift.operator import refusals as operator_refusals
from quaylab.openshift.operator.state import OlmObject, Package
from quaylab.openshift.plan import verification
from tests.unit import clusters
from tests.unit.clusters import CLUSTER, S3, SCOPE, describe, operate

CHANNELS = ("stable-3.15", "stable-3.17", "stable-3.18")
GROUPS = {"operators.coreos.com", "packages.operators.coreos.com", "objectbucket.io"}
WITH_OLM = dataclasses.replace(
    CLUSTER,
    groups=CLUSTER.groups | GROUPS,
    packages=(Package("redhat-operators", "openshift-marketplace", CHANNELS),),
)


def _settings(**changes: Any) -> Any:
    return clusters.context(**{"openshift_method": "operator", **changes})


def _problems(cluster: Cluster = WITH_OLM, **changes: Any) -> list[str]:
    settings, description = _settings(**changes).settings, operate(**changes)
    return list(operator_refusals.problems(cluster, settings, description, SCOPE.owner))


def _with(*found: dict[str, Any], **changes: Any) -> Cluster:
    known = {(each["kind"], each["metadata"]["name"]): each for each in found}
    return dataclasses.replace(WITH_OLM, found=known, **changes)


def _there(installed: str = "", version: str = "", **changes: Any) -> list[dict[str, Any]]:
    """Return Subscription and QuayRegistry of an earlier run."""
    description = operate(**changes)
    subscription = SCOPE.manifest(description.installation[1])
    registry = SCOPE.manifest(description.registry)
    return [
        {**subscription, "status": {"installedCSV": installed}},
        {**registry, "status": {"currentVersion": version}},
    ]


def _claim(ends: bool = False) -> dict[str, Any]:
    """Return the claim of the operator's database."""
    metadata = {"name": "quaylab-quay-postgres-13"}
    if ends:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {"storageClassName": "standard"}
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def test_a_fitting_cluster() -> None:
    assert _problems() == []
    assert _problems(_with(*_there("quay-operator.v3.18.2", "v3.18.2"))) == []


@pytest.mark.parametrize(
    ("missing", "changes", "line"),
    [
        ("operators.coreos.com", {}, "openshift_method: operator, but https://api.example.com"),
        ("packages.operators.coreos.com", {}, "openshift_method: operator, but"),
        ("objectbucket.io", {}, "storage: not set, so the operator would make a bucket, but"),
        ("objectbucket.io", S3, ""),
        ("", {}, ""),
    ],
)
def test_parts_of_the_api(missing: str, changes: dict[str, Any], line: str) -> None:
    cluster = dataclasses.replace(WITH_OLM, groups=WITH_OLM.groups - {missing})
    context = _settings(**changes)
    found = list(operator_refusals.early_problems(cluster, context.settings, context.topology))
    assert len(found) == bool(line)
    assert line in "".join(found)


@pytest.mark.parametrize(
    ("packages", "line"),
    [
        ((), "openshift_operator: no catalogue has quay-operator"),
        (
            (Package("mirror", "olm", CHANNELS),),
            "openshift_catalogue: redhat-operators has no quay-operator; these catalogues have it: "
            "mirror",
        ),
        (
            (Package("redhat-operators", "olm", CHANNELS[:2]),),
            "quay_version: v3.18.0 is of the channel stable-3.18, and quay-operator in "
            "redhat-operators has: stable-3.15, stable-3.17;",
        ),
    ],
    ids=["nowhere", "another catalogue", "channel"],
)
def test_catalogues(packages: tuple[Package, ...], line: str) -> None:
    (problem,) = _problems(dataclasses.replace(WITH_OLM, packages=packages))
    assert problem.startswith(line)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (OlmObject("OperatorGroup", "other"), "has the OperatorGroup other, and OLM takes one"),
        (OlmObject("OperatorGroup", "quaylab"), ""),
        (
            OlmObject("ClusterServiceVersion", "quay-operator.v3.17.4", "openshift-operators"),
            "quay-operator.v3.17.4 of namespace openshift-operators looks after this one",
        ),
        (OlmObject("QuayRegistry", "of-others"), "has the QuayRegistry of-others, which the"),
        (OlmObject("QuayRegistry", "quaylab"), ""),
        (
            OlmObject("ClusterServiceVersion", "quay-operator.v3.17.4"),
            "has quay-operator.v3.17.4 without a Subscription",
        ),
    ],
)
def test_what_olm_has_in_the_namespace(found: OlmObject, line: str) -> None:
    problems = _problems(dataclasses.replace(WITH_OLM, olm_objects=(found,)))
    assert len(problems) == bool(line)
    assert line in "".join(problems)


@pytest.mark.parametrize(
    ("installed", "version", "changes", "line"),
    [
        ("quay-operator.v3.17.4", "v3.17.4", {}, "quay_version: not set, and the registry has"),
        (
            "quay-operator.v3.17.4",
            "v3.17.4",
            {"quay_version": "v3.18.0"},
            "database_backup: an upgrade from v3.17.4 to v3.18.0 changes the database",
        ),
        (
            "quay-operator.v3.17.4",
            "3.17.4",
            {"quay_version": "v3.18.0", "database_backup": "v3.17.4"},
            "",
        ),
        # Within a minor version the operator goes on by itself.
        ("quay-operator.v3.18.2", "v3.18.2", {"quay_version": "v3.18.0"}, ""),
        (
            "quay-operator.v3.18.2",
            "v3.18.2",
            {"quay_version": "v3.17.4"},
            "quay_version: v3.17.4, but v3.18.2 is there, and neither OLM nor Quay knows a way",
        ),
        # A killed upgrade has changed the operator, and not the registry.
        (
            "quay-operator.v3.18.2",
            "v3.17.4",
            {"quay_version": "v3.17.4"},
            "quay_version: v3.17.4, but quay-operator.v3.18.2 is there",
        ),
        (
            "quay-operator.v3.14.1",
            "v3.14.1",
            {"quay_version": "v3.18.0"},
            "quay_version: v3.18.0 is more than 3 minor versions after the registry's v3.14.1",
        ),
        ("", "", {}, ""),
    ],
)
def test_upgrades(installed: str, version: str, changes: dict[str, Any], line: str) -> None:
    problems = _problems(_with(*_there(installed, version, **changes)), **changes)
    assert len(problems) == bool(line), problems
    assert line in "".join(problems)


def test_the_version_is_known_after_the_registry_was_taken_down() -> None:
    note = SCOPE.manifest(verification("uid digest v3.17.4"))
    cluster = _with(note, has_database_claim=True, has_bucket_claim=True)
    (problem,) = _problems(cluster, quay_version="v3.18.0")
    assert "database_backup: an upgrade from v3.17.4" in problem
    (problem,) = _problems(cluster, quay_version="v3.15.0")
    assert "v3.17.4 is there, and neither OLM nor Quay knows a way back" in problem
    assert _problems(cluster, quay_version="v3.17.4") == []


def test_an_operator_that_was_taken_down_while_it_migrated() -> None:
    note = SCOPE.manifest(operate().note)
    noted = {"schema": "v3.17.4", "operator": "quay-operator.v3.18.2"}
    cluster = _with({**note, "data": {**note["data"], **noted}})
    (problem,) = _problems(cluster, quay_version="v3.17.4")
    assert "v3.17.4, but quay-operator.v3.18.2 is there, and neither OLM nor Quay" in problem
    assert _problems(cluster, quay_version="v3.18.0", database_backup="v3.17.4") == []


def test_data_stays_where_it_is() -> None:
    note = SCOPE.manifest(operate().note)
    moved = _problems(_with(note), **S3, database_host="db.example.com")
    assert [line.partition(":")[0] for line in moved] == ["database_host", "storage"]
    assert _problems(_with(note)) == []


@pytest.mark.parametrize(
    ("noted", "now", "setting"),
    [
        ("db.example.com:5432 quay quay", {"database_host": "db.example.com"}, ""),
        ("db.example.com:5432 quay quay", {"database_host": "b.example.com"}, "database_host"),
        (
            "db.example.com:5432 quay quay",
            {"database_host": "db.example.com", "database_name": "other"},
            "database_name",
        ),
        # Earlier notes don't say which one.
        ("elsewhere", {"database_host": "db.example.com"}, ""),
        ("elsewhere", {}, "database_host"),
        ("operator", {"database_host": "db.example.com"}, "database_host"),
    ],
)
def test_the_database_stays_the_same(noted: str, now: dict[str, Any], setting: str) -> None:
    note = SCOPE.manifest(operate(**S3).note)
    cluster = _with({**note, "data": {**note["data"], "database": noted}})
    problems = _problems(cluster, **S3, **now)
    assert len(problems) == bool(setting)
    assert "".join(problems).startswith(setting and f"{setting}: Quay's database is {noted!r}")


def test_a_lost_claim_of_a_registry_that_had_data() -> None:
    there = [SCOPE.manifest(each) for each in (operate().note, verification("uid digest"))]
    database, bucket = _problems(_with(*there))
    assert "the PersistentVolumeClaim of the operator's database is gone" in database
    assert "the ObjectBucketClaim of the operator's storage is gone" in bucket
    assert _problems(_with(*there, has_database_claim=True)) == [bucket]
    assert _problems(_with(*there, has_database_claim=True, has_bucket_claim=True)) == []
    # It was never made.
    assert _problems(_with(there[0])) == []


@pytest.mark.parametrize("method", ["template", "operator"])
def test_the_other_method(method: str) -> None:
    notes = {"template": describe().note, "operator": operate().note}
    settings = _settings(openshift_method=method).settings
    for before, note in notes.items():
        cluster = _with(SCOPE.manifest(note))
        problems = list(refusals.method_problems(cluster, settings, SCOPE.owner))
        assert len(problems) == (before != method)
        assert f"was made with {before}" in "".join(problems) or before == method
        # The refusal of another registry's objects says more.
        assert list(refusals.method_problems(cluster, settings, "another")) == []


def _rights(cluster: Cluster = WITH_OLM, **changes: Any) -> set[str]:
    found = rights(operate(**changes), cluster, "quay-enterprise")
    return {f"{each.verb} {each.name}" for each in found}


def test_rights() -> None:
    found = _rights(dataclasses.replace(WITH_OLM, phase=None))
    assert {
        "create subscriptions.operators.coreos.com",
        "create operatorgroups.operators.coreos.com",
        "patch quayregistries.quay.redhat.com",
        "list packagemanifests.packages.operators.coreos.com",
        "delete clusterserviceversions.operators.coreos.com",
        "list persistentvolumeclaims",
        "list routes.route.openshift.io",
        "list pods",
        "create namespaces",
    } <= found
    assert "create deployments.apps" not in found
    assert "create jobs.batch" not in found


def test_rights_where_there_are_neither_routes_nor_buckets() -> None:
    cluster = dataclasses.replace(WITH_OLM, groups=frozenset(GROUPS))
    found = " ".join(_rights(cluster, **S3, openshift_exposure="ingress"))
    assert "routes" not in found
    assert "objectbucketclaims" not in found


@pytest.mark.parametrize("name", ["QuayRegistry", "Subscription", "Secret"])
def test_a_removal_without_the_note(name: str) -> None:
    description = operate(**S3)
    (there,) = [each for each in description.lasting if each.kind.name == name]
    settings = clusters.context(openshift_method="operator", **S3).settings

    def problems(*found: Object, **changes: Any) -> list[str]:
        known = {each.key: SCOPE.manifest(each) for each in found}
        cluster = dataclasses.replace(CLUSTER, found=known, **changes)
        return list(operator_refusals.lost_note_problems(cluster, settings, description, SCOPE))

    (problem,) = problems(there)
    assert problem.startswith(f"ConfigMap quaylab-registry: it is gone, and {there} is there")
    assert "kubectl create configmap quaylab-registry --namespace=quay-enterprise" in problem
    assert "--from-literal=method=operator" in problem
    assert f"quaylab.io/credentials={SCOPE.owner}" in problem
    assert problems(there, description.note) == []
    assert problems() == []
    (problem,) = problems(there, operators_data=(_claim(),))
    assert f"{there}, PersistentVolumeClaim quaylab-quay-postgres-13 are there" in problem


@pytest.mark.parametrize(
    ("finalizers", "is_lost"),
    [(["quay-operator/finalizer"], True), (None, True), (["orphan"], False)],
)
def test_a_registry_that_is_being_deleted(finalizers: list[str] | None, is_lost: bool) -> None:
    subscription, registry = _there("quay-operator.v3.18.2", "v3.18.2")
    ending = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}
    registry["metadata"] = {**registry["metadata"], **ending}
    problems = _problems(_with(subscription, registry))
    assert len(problems) == is_lost
    assert "QuayRegistry quaylab: it is being deleted, and" in "".join(problems) or not is_lost


@pytest.mark.parametrize(
    ("wanted", "is_made", "line"),
    [
        ("fast", False, ""),
        ("slow", False, "openshift_storage_class: there is no class slow"),
        ("standard", True, ""),
        ("fast", True, "openshift_storage_class: fast, but the claim quaylab-quay-postgres-13 is"),
        (None, True, ""),
    ],
)
def test_storage_classes(wanted: str | None, is_made: bool, line: str) -> None:
    cluster = dataclasses.replace(WITH_OLM, operators_data=(_claim(),) if is_made else ())
    problems = _problems(cluster, openshift_storage_class=wanted)
    assert len(problems) == bool(line)
    assert line in "".join(problems)


def test_data_that_is_being_deleted() -> None:
    (problem,) = _problems(dataclasses.replace(WITH_OLM, operators_data=(_claim(ends=True),)))
    assert problem.startswith(
        "PersistentVolumeClaim quaylab-quay-postgres-13: it is being deleted, and goes with its"
    )
    assert _problems(dataclasses.replace(WITH_OLM, operators_data=(_claim(),))) == []
