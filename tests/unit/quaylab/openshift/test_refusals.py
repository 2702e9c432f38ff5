"""Why a registry can't be made in a cluster."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from quaylab.openshift import refusals
from quaylab.openshift.cluster import Cluster, Right, rights
from quaylab.openshift.objects import CLAIM, OWNER
from quaylab.openshift.pods import PULL_SECRET
from tests.unit import clusters, samples
from tests.unit.clusters import CLUSTER, S3, SCOPE, describe

SERVER = "https://api.example.com:6443"
A: dict[str, Any] = {"database_host": "a.example.com"}


def _problems(cluster: Cluster = CLUSTER, **changes: Any) -> list[str]:
    context, description = clusters.context(**changes), describe(**changes)
    return list(refusals.problems(cluster, context, description, SCOPE))


def _with(*found: dict[str, Any], **changes: Any) -> Cluster:
    known = {(each["kind"], each["metadata"]["name"]): each for each in found}
    return dataclasses.replace(CLUSTER, found=known, **changes)


def _quota(**hard: str) -> dict[str, Any]:
    names = {key.replace("_", "."): value for key, value in hard.items()}
    used = dict.fromkeys(names, "0")
    return {"metadata": {"name": "small"}, "status": {"hard": names, "used": used}}


def test_a_fitting_cluster() -> None:
    assert _problems() == []


@pytest.mark.parametrize(
    ("expected", "remembered", "refused"),
    [
        (None, None, False),
        (None, SERVER, False),
        (None, "https://API.example.com:6443/", False),
        (None, "https://other.example.com:6443", True),
        (SERVER, "https://other.example.com:6443", False),
        ("https://other.example.com:6443", SERVER, True),
    ],
)
def test_another_server_than_the_last_runs(
    expected: str | None, remembered: str | None, refused: bool
) -> None:
    problems = _place_problems(expected, openshift_server=remembered)
    assert bool(problems) is refused
    if refused and not expected:
        assert f"openshift_server={SERVER}" in problems[0]


def _place_problems(expected: str | None, **remembered: str | None) -> list[str]:
    settings = clusters.context(openshift_server=expected).settings
    credentials = samples.CREDENTIALS.model_copy(update=remembered)
    return list(refusals.place_problems(settings, credentials, SERVER))


def test_another_namespace_than_the_last_runs() -> None:
    (problem,) = _place_problems(None, openshift_server=SERVER, openshift_namespace="quay")
    assert "openshift_namespace: quay-enterprise, but this registry is in quay" in problem
    assert f"openshift_server={SERVER}" in problem
    assert _place_problems(SERVER, openshift_server=SERVER, openshift_namespace="quay") == []
    assert _place_problems(None, openshift_namespace="quay-enterprise") == []


@pytest.mark.parametrize(
    ("changes", "setting", "line"),
    [
        ({"version": "v1.24.9"}, {}, "runs Kubernetes v1.24.9, and 1.25 is the oldest"),
        ({"phase": "Terminating"}, {}, "openshift_namespace: quay-enterprise is being deleted"),
        ({"groups": frozenset({"apps"})}, {}, "openshift_exposure: https://api.example.com:6443"),
        ({}, {"openshift_exposure": "ingress"}, "openshift_exposure: ingress, and https://api."),
    ],
    ids=["old", "deleted", "no routes", "routes of ingresses"],
)
def test_clusters_that_can_not_have_it(
    changes: dict[str, Any], setting: dict[str, Any], line: str
) -> None:
    cluster = dataclasses.replace(CLUSTER, **changes)
    problems = list(refusals.early_problems(cluster, clusters.context(**setting).settings))
    assert len(problems) == 1
    assert line in problems[0]


def test_without_routes_an_ingress_will_do() -> None:
    cluster = dataclasses.replace(CLUSTER, groups=frozenset({"apps"}))
    settings = clusters.context(openshift_exposure="ingress").settings
    assert list(refusals.early_problems(cluster, settings)) == []


@pytest.mark.parametrize(
    ("labels", "whose"),
    [
        ({}, "was not made by Quaylab"),
        ({OWNER: "fedcba9876543210-0000"}, "belongs to the registry fedcba9876543210-0000"),
    ],
)
def test_objects_of_others_are_refused(labels: dict[str, str], whose: str) -> None:
    other = {"kind": "Secret", "metadata": {"name": "quaylab-database", "labels": labels}}
    (problem,) = _problems(_with(other))
    assert f"Secret quaylab-database is there already and {whose}" in problem


def test_a_lost_claim_of_a_registry_that_had_data() -> None:
    note = SCOPE.manifest(describe().note)
    others = [SCOPE.manifest(each) for each in describe().lasting]
    assert _problems(_with(note, *others)) == []
    rest = [each for each in others if each["kind"] != "PersistentVolumeClaim"]
    lost = _problems(_with(note, *rest))
    # That of the dumps has nothing that is served.
    assert [line.split(":")[0] for line in lost] == ["quaylab-database", "quaylab-quay-storage"]
    remedy = "kubectl delete deployment/quaylab-quay configmap/quaylab-registry "
    assert all(f"{remedy}--namespace=quay-enterprise" in line for line in lost)
    # And what it names is enough.
    assert _problems(_with(*(each for each in rest if each["kind"] != "Deployment"))) == []


def test_another_major_version_of_the_database() -> None:
    objects = [SCOPE.manifest(each) for each in (*describe().lasting, describe().note)]
    newer = "quay.io/sclorg/postgresql-17-c9s:latest"
    (problem,) = _problems(_with(*objects), postgresql_image=newer)
    assert problem.startswith(
        "postgresql_image: the claim quaylab-database is of postgresql-15-c9s, but this run needs "
        "postgresql-17-c9s, which may not read it"
    )
    assert _problems(_with(*objects), postgresql_image="mirror.lan/postgresql-15-c9s:new") == []
    # Of a claim from before the annotation nobody knows it.
    for each in objects:
        each["metadata"].pop("annotations")
    assert _problems(_with(*objects), postgresql_image=newer) == []


def test_blobs_stay_where_they_are() -> None:
    (problem,) = _problems(_with(SCOPE.manifest(describe(**A).note)), **S3, **A)
    assert problem.startswith("storage: Quay's blobs are in 'default local'")


@pytest.mark.parametrize(
    ("before", "now", "setting"),
    [
        ({}, A, "database_host"),
        (A, {}, "database_host"),
        (A, {"database_host": "b.example.com"}, "database_host"),
        (A, {**A, "database_name": "other"}, "database_name"),
        ({}, {"database_user": "other"}, "database_user"),
        (A, A, ""),
    ],
)
def test_rows_stay_where_they_are(
    before: dict[str, Any], now: dict[str, Any], setting: str
) -> None:
    description = describe(**S3, **before)
    note = SCOPE.manifest(description.note)
    found = [SCOPE.manifest(each) for each in description.lasting if each.kind is CLAIM]
    problems = [each for each in _problems(_with(note, *found), **S3, **now) if "rows" in each]
    assert len(problems) == bool(setting)
    assert "".join(problems).startswith(setting and f"{setting}: Quay's database is ")
    assert not setting or "as ConfigMap quaylab-registry says" in problems[0]
    # It is from before this line.
    note["data"] = {key: text for key, text in note["data"].items() if key != "database"}
    assert not [each for each in _problems(_with(note, *found), **S3, **now) if "rows" in each]


@pytest.mark.parametrize(
    ("setting", "classes", "line"),
    [
        ("slow", {"standard": True}, "openshift_storage_class: there is no class slow"),
        (None, {"standard": False}, "openshift_storage_class: not set, and none"),
        (None, {}, "set one of: none"),
        ("slow", None, ""),
    ],
    ids=["unknown", "no default", "none at all", "may not be listed"],
)
def test_storage_classes(setting: str | None, classes: dict[str, bool] | None, line: str) -> None:
    cluster = dataclasses.replace(CLUSTER, storage_classes=classes)
    problems = _problems(cluster, openshift_storage_class=setting)
    assert len(problems) == bool(line)
    assert line in "".join(problems)


@pytest.mark.parametrize(
    ("hard", "line"),
    [
        (
            {"requests_memory": "5Gi"},
            "leaves requests.memory 5Gi of 5Gi, and the registry needs 5.25Gi",
        ),
        ({"limits_memory": "5Gi"}, "leaves limits.memory"),
        ({"pods": "2"}, "leaves pods 2 of 2, and the registry needs 3"),
        ({"persistentvolumeclaims": "1"}, "leaves persistentvolumeclaims 1 of 1"),
        ({"requests_storage": "20Gi"}, "leaves requests.storage"),
        ({"count/deployments.apps": "2"}, "leaves count/deployments.apps 2 of 2"),
        ({"pods": "20", "requests_memory": "64Gi", "cpu": "4"}, ""),
    ],
)
def test_quotas(hard: dict[str, str], line: str) -> None:
    problems = _problems(_with(quotas=(_quota(**hard),)))
    assert len(problems) == bool(line)
    assert line in "".join(problems)


@pytest.mark.parametrize(
    ("ranges", "is_refused"),
    [
        ((), True),
        (({"spec": {"limits": [{"type": "Container", "default": {"memory": "1Gi"}}]}},), True),
        (({"spec": {"limits": [{"type": "Pod", "max": {"cpu": "4"}}]}},), True),
        (({"spec": {"limits": [{"type": "Container", "default": {"cpu": "2"}}]}},), False),
        (None, False),
    ],
)
def test_a_quota_that_asks_for_limits_of_processors(
    ranges: tuple[dict[str, Any], ...] | None, is_refused: bool
) -> None:
    problems = _problems(_with(quotas=(_quota(limits_cpu="8"),), limit_ranges=ranges))
    assert len(problems) == is_refused
    assert not is_refused or "the quota small names limits.cpu" in problems[0]


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({}, True),
        ({"scopes": ["NotTerminating", "NotBestEffort"]}, True),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort", "Terminating"]}, False),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass"}]}}, False),
    ],
)
def test_quotas_of_other_pods(spec: dict[str, Any], counts: bool) -> None:
    problems = _problems(_with(quotas=({**_quota(pods="1"), "spec": spec},)))
    assert bool(problems) is counts


def test_a_lost_note_of_a_registry_that_serves() -> None:
    description = describe(quay_version="v3.17.4")
    served = SCOPE.manifest(description.verified)
    claims = [SCOPE.manifest(each) for each in description.lasting if each.kind is CLAIM]
    (problem,) = _problems(_with(served, *claims))
    assert problem.startswith("ConfigMap quaylab-registry: it is gone, and Quay is there")
    assert "--from-literal=schema=v3.17.4 '--from-literal=storage=default local'" in problem
    assert "'--from-literal=database=own quay quay'" in problem
    assert f"quaylab.io/credentials={SCOPE.owner}" in problem
    assert _problems(_with(served, *claims, SCOPE.manifest(description.note))) == []


def test_what_is_there_already_takes_no_more_of_a_quota() -> None:
    there = [SCOPE.manifest(each) for each in (*describe().lasting, describe().note)]
    assert _problems(_with(*there, quotas=(_quota(pods="0"),))) == []
    lowered = {"hard": {"pods": "1"}, "used": {"pods": "3"}}
    assert _problems(_with(*there, quotas=({**_quota(), "status": lowered},))) == []


@pytest.mark.parametrize(
    ("hard", "line"),
    [
        ({"pods": "0"}, "leaves pods 0 of 0, and the registry needs 1"),
        ({"limits_memory": "4095Mi"}, "and the registry needs 4Gi"),
        ({"limits_memory": "4Gi", "pods": "1"}, ""),
    ],
)
def test_an_upgrade_needs_room_for_one_more_pod(hard: dict[str, str], line: str) -> None:
    before = describe(quay_version="v3.17.4", **S3)
    there = [SCOPE.manifest(each) for each in (*before.lasting, before.note)]
    problems = _problems(_with(*there, quotas=(_quota(**hard),)), **S3)
    assert len(problems) == bool(line)
    assert line in "".join(problems)


def test_with_one_pod_an_upgrade_needs_room_for_its_jobs() -> None:
    before = describe(quay_version="v3.17.4")
    there = [SCOPE.manifest(each) for each in (*before.lasting, before.note)]
    assert _problems(_with(*there, quotas=(_quota(limits_memory="1Gi"),))) == []
    (problem,) = _problems(_with(*there, quotas=(_quota(limits_memory="1023Mi"),)))
    assert "and the registry needs 1Gi" in problem


@pytest.mark.parametrize(
    ("login", "image", "is_needed"),
    [
        ("https://index.docker.io/v1/", "docker.io/acme/quay", True),
        ("docker.io", "docker.io/acme/quay", True),
        ("https://index.docker.io/v1/", "quay.io/acme/quay", False),
        ("*.example.com", "registry.example.com/acme/quay", True),
        ("*.example.com", "example.com/acme/quay", False),
        ("*.com", "registry.example.com/acme/quay", False),
        ("registry.example.com:5000/acme", "registry.example.com:5000/acme/quay", True),
    ],
)
def test_logins_of_registries(tmp_path: Path, login: str, image: str, is_needed: bool) -> None:
    given: dict[str, Any] = {
        "pull_secret": clusters.pull_secret(tmp_path, login),
        "quay_image": image,
        "postgresql_image": "registry.lan/postgresql-15:1",
        "redis_image": "registry.lan/redis-7:1",
    }
    assert (_problems(**given) == []) is is_needed
    (secret,) = [each for each in describe(**given).foundation if each.name == PULL_SECRET]
    content = base64.b64decode(secret.content["data"][".dockerconfigjson"])
    assert (login in json.loads(content)["auths"]) is is_needed


def test_a_pull_secret_without_the_registry(tmp_path: Path) -> None:
    secret = clusters.pull_secret(tmp_path, "https://registry.example.com/v2/")
    (problem,) = _problems(pull_secret=secret)
    assert "has logins for registry.example.com, and the images come from quay.io" in problem
    assert _problems(pull_secret=clusters.pull_secret(tmp_path)) == []


def _rights(**changes: Any) -> dict[str, Right]:
    cluster = dataclasses.replace(CLUSTER, **changes)
    found = rights(describe(), cluster, "quay-enterprise")
    return {f"{each.verb} {each.name}": each for each in found}


def test_rights() -> None:
    found = _rights(phase=None)
    assert {
        "patch deployments.apps",
        "create routes.route.openshift.io",
        "create routes.route.openshift.io/custom-host",
        "delete persistentvolumeclaims",
        "get pods/log",
        "list events",
        "list ingresses.networking.k8s.io",
        "create namespaces",
    } <= set(found)
    assert "create namespaces" not in _rights()
    assert "patch ingresses.networking.k8s.io" not in found


def test_routes_are_looked_for_where_there_are_some() -> None:
    description = describe(openshift_exposure="ingress")
    for groups in ({"apps"}, {"apps", "route.openshift.io"}):
        cluster = dataclasses.replace(CLUSTER, groups=frozenset(groups))
        found = {each.name for each in rights(description, cluster, "there")}
        assert ("routes.route.openshift.io" in found) is ("route.openshift.io" in groups)


def test_a_review_asks_for_one_right() -> None:
    right = _rights()["get pods/log"]
    assert right.review["spec"]["resourceAttributes"] == {
        "verb": "get",
        "resource": "pods",
        "namespace": "quay-enterprise",
        "subresource": "log",
    }


def test_a_claim_that_is_being_deleted() -> None:
    cluster = _with(*(SCOPE.manifest(each) for each in (*describe().lasting, describe().note)))
    for kind in ("Deployment", CLAIM.name):
        ended = cluster.found[kind, "quaylab-database"]["metadata"]
        ended["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    (problem,) = _problems(cluster)
    assert problem.startswith("PersistentVolumeClaim quaylab-database: it is being deleted, and")
