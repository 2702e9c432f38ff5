"""The objects by which Quay's operator is told of a registry."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab.openshift.objects import CONFIGURATION, OWNER, SECRET
from quaylab.openshift.operator import description as operator
from quaylab.services import quay as quay_service
from quaylab.services import quay_config
from tests.authority import Authority
from tests.leaks import leaked
from tests.unit import cluster_schemas, clusters, samples
from tests.unit.clusters import S3, manifests, operate

ELSEWHERE = {"database_host": "db.example.com", "redis_host": "redis.example.com", **S3}
VARIANTS: dict[str, dict[str, Any]] = {
    "all managed": {},
    "all elsewhere": ELSEWHERE,
    "ingress": {"openshift_exposure": "ingress"},
    "load balancer": {"openshift_exposure": "loadbalancer", "quay_https_port": 8443},
    "plain Kubernetes": {**S3, "is_openshift": False, "openshift_exposure": "ingress"},
    "large": {"openshift_memory_mb": 6000, "openshift_database_gb": 2048},
    "proxy": {"http_proxy": "http://proxy.example.com:3128"},
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_objects_follow_the_schemas(variant: dict[str, Any]) -> None:
    for manifest in manifests(operate(**variant)):
        cluster_schemas.check(manifest, "1.32")


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=list(VARIANTS))
def test_secrets_are_in_secrets_alone(variant: dict[str, Any]) -> None:
    for manifest in manifests(operate(**variant)):
        if manifest["kind"] != "Secret":
            text = json.dumps(manifest)
            assert leaked(samples.SECRETS, text) == []
            assert "PRIVATE KEY" not in text


def _components(**changes: Any) -> dict[str, dict[str, Any]]:
    spec = operate(**changes).registry.content["spec"]
    return {each["kind"]: each for each in spec["components"]}


def _managed(**changes: Any) -> set[str]:
    return {kind for kind, each in _components(**changes).items() if each["managed"]}


def _bundle(**changes: Any) -> dict[str, str]:
    data = operate(**changes).bundle.content["data"]
    return {key: base64.b64decode(text).decode() for key, text in data.items()}


def _config(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(_bundle(**changes)["config.yaml"])
    return config


@pytest.mark.parametrize(
    ("changes", "managed"),
    [
        ({}, {"postgres", "redis", "objectstorage", "route"}),
        ({"database_host": "db.example.com"}, {"redis", "objectstorage", "route"}),
        ({"redis_host": "redis.example.com"}, {"postgres", "objectstorage", "route"}),
        (S3, {"postgres", "redis", "route"}),
        ({"openshift_exposure": "ingress"}, {"postgres", "redis", "objectstorage"}),
        (ELSEWHERE, {"route"}),
    ],
)
def test_what_the_settings_name_elsewhere_is_not_managed(
    changes: dict[str, Any], managed: set[str]
) -> None:
    assert _managed(**changes) == {"quay", *managed}


def test_all_components_are_named() -> None:
    """The operator would add those that are missing, and change the object in every run."""
    assert set(_components()) == {
        "quay", "postgres", "clair", "clairpostgres", "redis", "horizontalpodautoscaler",
        "objectstorage", "route", "mirror", "monitoring", "tls",
    }  # fmt: skip


@pytest.mark.parametrize("changes", [{}, S3, ELSEWHERE])
def test_the_bundle_has_the_keys_of_what_is_not_managed_alone(changes: dict[str, Any]) -> None:
    config, managed = _config(**changes), _managed(**changes)
    for component, keys in operator.KEYS.items():
        assert {key in config for key in keys} == {component not in managed}


def test_the_bundle_is_the_one_of_machines_but_for_what_is_managed() -> None:
    context = clusters.context(**ELSEWHERE)
    on_machines = quay_service.bundle(
        context, quay_config.build(context.settings, context.topology, context.credentials)
    )
    found = _bundle(**ELSEWHERE)
    assert found.keys() == on_machines.keys()
    wanted, config = (yaml.safe_load(files["config.yaml"]) for files in (on_machines, found))
    assert config.keys() == wanted.keys()
    # The storage keys are random, and others in each.
    different = {key for key in wanted if wanted[key] != config[key]}
    assert different <= {"DISTRIBUTED_STORAGE_CONFIG"}
    managed = _config()
    assert {key for key in wanted if key not in managed} == {
        each for keys in operator.KEYS.values() for each in keys
    }


def test_quay_looks_for_its_own_files_in_the_operators_bucket() -> None:
    assert {_config()[key] for key in operator.LOCATION_KEYS} == {"local_us"}
    assert {_config(**S3)[key] for key in operator.LOCATION_KEYS} == {"default"}


def test_the_operators_redis_has_no_password() -> None:
    redis = {"host": "quaylab-quay-redis", "port": 6379, "db": 0}
    assert _config()["PULL_METRICS_REDIS"] == redis


def test_authorities_are_where_the_operator_looks_for_them(tmp_path: Path) -> None:
    ca = Authority.new().save(tmp_path / "ca.pem")
    found = _bundle(company_ca=ca)
    assert found["extra_ca_cert_company.crt"] == ca.read_text()
    assert not [key for key in found if "/" in key]


def test_outside_of_openshift_quay_has_an_authority_in_any_case() -> None:
    """It doesn't start with an empty folder of them."""
    found = _bundle(is_openshift=False, **S3, openshift_exposure="ingress")
    assert [key for key in found if key.startswith("extra_ca_cert_")] == [
        "extra_ca_cert_registry.crt"
    ]
    assert "BEGIN CERTIFICATE" in found["extra_ca_cert_registry.crt"]


def test_quay_has_the_variables_that_it_has_on_machines() -> None:
    changes: dict[str, Any] = {"http_proxy": "http://proxy.example.com:3128", "quay_workers": 3}
    env = _components(**changes)["quay"]["overrides"]["env"]
    found = {each["name"]: each["value"] for each in env}
    assert found["WORKER_COUNT"] == "3"
    assert found["HTTP_PROXY"] == "http://proxy.example.com:3128"
    assert "quaylab-quay-database" in found["NO_PROXY"]


@pytest.mark.parametrize(
    ("changes", "memory", "size"),
    [
        ({}, "4Gi", "50Gi"),
        ({"openshift_memory_mb": 6000, "openshift_database_gb": 100}, "6000Mi", "100Gi"),
        ({"openshift_database_gb": 2048}, "4Gi", "2Ti"),
    ],
)
def test_quantities_are_as_the_operator_writes_them(
    changes: dict[str, Any], memory: str, size: str
) -> None:
    components = _components(**changes)
    resources = components["quay"]["overrides"]["resources"]
    assert resources["limits"] == {"memory": memory}
    assert components["postgres"]["overrides"] == {"volumeSize": size}


def test_the_database_has_the_storage_class_of_the_settings() -> None:
    overrides = _components(openshift_storage_class="fast")["postgres"]["overrides"]
    assert overrides == {"volumeSize": "50Gi", "storageClassName": "fast"}


@pytest.mark.parametrize(
    ("changes", "replicas"), [({}, 2), (S3, 2), ({"openshift_replicas": 3}, 3)]
)
def test_a_bucket_serves_several_pods(changes: dict[str, Any], replicas: int) -> None:
    found = operate(**changes)
    assert found.replicas == replicas
    assert _components(**changes)["quay"]["overrides"]["replicas"] == replicas


def test_a_changed_bundle_changes_the_quayregistry() -> None:
    """The operator doesn't look at Secrets; and so the pods tell which bundle they have."""
    before, after = operate(), operate(quay_config={"FEATURE_PROXY_CACHE": True})
    assert before.bundle.content != after.bundle.content
    assert before.configuration != after.configuration
    overrides = _components()["quay"]["overrides"]
    assert overrides["annotations"] == {CONFIGURATION: before.configuration}


@pytest.mark.parametrize(
    ("version", "channel"), [(None, "stable-3.18"), ("v3.16.5", "stable-3.16")]
)
def test_the_channel_is_that_of_the_version(version: str | None, channel: str) -> None:
    (_, subscription) = operate(quay_version=version).installation
    assert subscription.content["spec"] == {
        "name": "quay-operator",
        "channel": channel,
        "source": "redhat-operators",
        "sourceNamespace": "openshift-marketplace",
        "installPlanApproval": "Automatic",
    }


def test_clients_are_led_to_the_operators_pods() -> None:
    assert operate().exposure == ()
    assert str(operate().front) == "Route quaylab-quay"
    (service,) = operate(openshift_exposure="loadbalancer").exposure
    assert service.content["spec"]["selector"] == {
        "quay-operator/quayregistry": "quaylab",
        "quay-component": "quay-app",
    }
    secret, ingress = operate(openshift_exposure="ingress").exposure
    assert secret.kind is SECRET
    (rule,) = ingress.content["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == "quaylab-quay-app"


def test_all_objects_bear_their_owner_and_what_the_operator_makes_does_not() -> None:
    for manifest in manifests(operate()):
        assert manifest["metadata"]["labels"][OWNER] == samples.CREDENTIALS.fingerprint
    assert OWNER not in json.dumps(operate().registry.content)


def test_the_note_says_where_the_data_is() -> None:
    assert operate().note.content["data"] == {
        "method": "operator",
        "database": "operator",
        "storage": "operator",
    }
    data = operate(**ELSEWHERE).note.content["data"]
    assert data["database"] == "db.example.com:5432 quay quay"
    assert data["storage"].startswith("default s3 objects.example.com")
