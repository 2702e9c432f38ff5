"""Quay's storage drivers as configuration of docker-registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from quaylab.services import object_store
from tests.unit.samples import CREDENTIALS, ROOT, build, host, settings, with_storage_keys

sys.path.append(str(ROOT / "images" / "quay"))

from standin import StartError
from standin.config import Settings
from standin.drivers import check, registry_configuration

KEYED = with_storage_keys(CREDENTIALS)
ACCESS, SECRET = (
    key.get_secret_value() for key in (KEYED.storage_access_key, KEYED.storage_secret_key) if key
)
KEYS = {"accesskey": ACCESS, "secretkey": SECRET}
COMMON = {"bucket": "quay-storage", "rootdirectory": "/datastorage/registry"}


def _settings(**changes: Any) -> Settings:
    """Return the settings that Quaylab writes into config.yaml."""
    topology = build([host("quay.example.com")], **changes)
    config = object_store.config(settings(**changes), topology, KEYED)
    return Settings(Path("/conf/stack"), {"SECRET_KEY": "a-secret", **config})


def _storage(**changes: Any) -> dict[str, Any]:
    """Return docker-registry's configuration for them."""
    found: dict[str, Any] = registry_configuration(_settings(**changes))["storage"]
    return found


@pytest.mark.parametrize(
    ("changes", "name", "options"),
    [
        ({}, "filesystem", {"rootdirectory": "/datastorage/registry"}),
        (
            {"storage": "radosgw", "storage_host": "rgw.example.com", "storage_region": "eu"},
            "s3",
            {
                **COMMON,
                **KEYS,
                "region": "eu",
                "regionendpoint": "https://rgw.example.com:443",
                "secure": True,
            },
        ),
        (
            {"storage": "s3", "storage_region": "eu-central-1"},
            "s3",
            {**COMMON, **KEYS, "region": "eu-central-1"},
        ),
        (
            {"storage": "s3", "storage_region": "eu-central-1", "storage_iam_role": True},
            "s3",
            {**COMMON, "region": "eu-central-1"},
        ),
        (
            {"storage": "s3", "storage_host": "s3.example.com", "storage_tls": False},
            "s3",
            {
                **COMMON,
                **KEYS,
                "region": "us-east-1",
                "regionendpoint": "http://s3.example.com",
                "secure": False,
            },
        ),
        (
            {"storage": "gcs"},
            "s3",
            {
                **COMMON,
                **KEYS,
                "region": "us-east-1",
                "regionendpoint": "https://storage.googleapis.com",
                "secure": True,
            },
        ),
        (
            {
                "storage": "swift",
                "swift_auth_url": "http://rgw.example.com:7480/auth/v1.0",
                "swift_auth_version": 1,
            },
            "swift",
            {
                "username": ACCESS,
                "password": SECRET,
                "authurl": "http://rgw.example.com:7480/auth/v1.0",
                "container": "quay-storage",
                "authversion": 1,
                "tenant": "",
                "region": "",
                "domain": "",
                "rootdirectory": "/datastorage/registry",
            },
        ),
    ],
    ids=["local", "radosgw", "s3", "role", "compatible", "gcs", "swift"],
)
def test_each_kind_of_store(changes: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    assert _storage(**changes)[name] == options


@pytest.mark.parametrize(
    ("changes", "signs"),
    [
        ({}, False),
        ({"storage": "gcs"}, True),
        ({"storage": "gcs", "storage_proxy": True}, True),
        ({"storage": "swift", "swift_auth_url": "https://keystone.example.com/v3"}, False),
    ],
    ids=["local", "gcs", "proxied", "swift"],
)
def test_only_some_stores_sign_addresses(changes: dict[str, Any], signs: bool) -> None:
    assert _storage(**changes)["redirect"]["disable"] is not signs


@pytest.mark.parametrize(
    ("driver", "arguments", "message"),
    [
        ("AzureStorage", {}, "is unknown to the stand-in"),
        ("RadosGWStorage", {"hostname": "rgw", "bucket_name": "b"}, "lacks storage_path"),
        (
            "GoogleCloudStorage",
            {"bucket_name": "b", "storage_path": "/p"},
            "lacks access_key",
        ),
    ],
)
def test_a_driver_with_which_quay_would_not_start(
    driver: str, arguments: dict[str, Any], message: str
) -> None:
    values = {
        "SECRET_KEY": "a-secret",
        "DISTRIBUTED_STORAGE_CONFIG": {"default": [driver, arguments]},
        "DISTRIBUTED_STORAGE_PREFERENCE": ["default"],
    }
    with pytest.raises(StartError, match=message):
        registry_configuration(Settings(Path("/conf/stack"), values))


@pytest.mark.parametrize("version", ["v3.16.5", "v3.18.0"])
@pytest.mark.parametrize(
    "changes",
    [
        {"storage": "s3", "storage_host": "s3.example.com"},
        {
            "storage": "swift",
            "swift_auth_url": "https://keystone.example.com/v3",
            "swift_options": {"tenant_id": "8b1c", "user_domain_name": "Default"},
        },
    ],
    ids=["s3", "swift"],
)
def test_quays_own_check_accepts_it(
    version: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUAY_VERSION", version)
    check(_settings(**changes))


def test_quays_own_check_requires_more_than_swift_itself() -> None:
    settings = _settings(storage="swift", swift_auth_url="https://keystone.example.com/v3")
    with pytest.raises(StartError, match="Swift auth v3 requires user_domain_name"):
        check(settings)
