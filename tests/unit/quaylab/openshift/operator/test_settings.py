"""Settings that have no effect on what Quay's operator makes are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quaylab.openshift.operator import settings as operator_settings
from tests.unit import clusters, samples
from tests.unit.clusters import GIVEN, S3


def _problems(**changes: Any) -> list[str]:
    settings = samples.settings(**{**GIVEN, "openshift_method": "operator", **changes})
    return list(operator_settings.problems(settings))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"database_host": "db.example.com", "database_name": "other", "openshift_database_gb": 5},
        {"redis_host": "redis.example.com", "redis_image": "quay.io/sclorg/redis-7-c9s:other"},
        {**S3, "storage_bucket": "mine", "storage_location": "mine"},
        {"openshift_database_gb": 100},
        {"openshift_storage_class": "fast"},
        {"quay_version": "v3.11.0"},
        {**S3, "quay_config": {"FEATURE_STORAGE_REPLICATION": True}},
    ],
)
def test_settings_that_fit(changes: dict[str, Any]) -> None:
    assert _problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"quay_image": "quay.io/me/quay"}, "quay_image: the operator has the image of its own"),
        (
            {"openshift_storage_class": "fast", "quay_version": "v3.15.2"},
            "openshift_storage_class: the operator takes the cluster's default class before",
        ),
        (
            {"openshift_storage_class": "fast", "database_host": "db.example.com"},
            "openshift_storage_class: the operator makes no volume",
        ),
        ({"quay_version": "v3.10.5"}, "quay_version: v3.10.5, but Quaylab works with the operator"),
        ({"openshift_blobs_gb": 100}, "openshift_blobs_gb: the operator keeps no blobs in"),
        ({"database_name": "other"}, "database_name: the operator names its database itself"),
        ({"redis_image": "quay.io/sclorg/redis-7-c9s:other"}, "redis_image: the operator has a"),
        ({"storage_bucket": "mine"}, "storage_bucket: the operator names its bucket itself"),
        ({"storage": "local"}, "storage: local, but the operator keeps no blobs in a volume"),
        ({"openshift_database_gb": 20}, "openshift_database_gb: 20, and the operator's volume"),
        (
            {"quay_config": {"FEATURE_STORAGE_REPLICATION": True}},
            "quay_config: FEATURE_STORAGE_REPLICATION belongs to the object store",
        ),
        (
            {"database_engine": "mysql", "database_host": "db.example.com"},
            "database_engine: mysql, but the operator runs Quay on PostgreSQL",
        ),
    ],
)
def test_settings_that_have_no_effect(changes: dict[str, Any], line: str) -> None:
    (problem,) = _problems(**changes)
    assert problem.startswith(line)


def test_logins_are_the_clusters(tmp_path: Path) -> None:
    (problem,) = _problems(pull_secret=clusters.pull_secret(tmp_path))
    assert problem.startswith("pull_secret: the operator has images pulled with the cluster's own")
