"""The object store for blobs in Quay's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quaylab import plan, topology
from quaylab.problems import Refusal
from quaylab.secrets import adoption
from quaylab.secrets.credentials import Credentials, Store
from quaylab.services import BY_NAME, object_store, quay_config
from tests.authority import Authority
from tests.unit.samples import (
    CREDENTIALS,
    build,
    certified,
    host,
    machine,
    one_host,
    settings,
    with_storage_keys,
)

KEYED = with_storage_keys(CREDENTIALS)
ACCESS, SECRET = (
    key.get_secret_value() for key in (KEYED.storage_access_key, KEYED.storage_secret_key) if key
)
RADOSGW = {"storage": "radosgw", "storage_host": "rgw.example.com"}
S3 = {"storage": "s3", "storage_region": "eu-central-1"}
COMPATIBLE = {"storage": "s3", "storage_host": "s3.example.com"}
GCS = {"storage": "gcs"}
OPTIONS = {"tenant_id": "8b1c", "user_domain_name": "company"}
SWIFT = {
    "storage": "swift",
    "swift_auth_url": "https://keystone.example.com:5000/v3",
    "swift_options": OPTIONS,
}
PLAIN_3_16 = {"storage_tls": False, "quay_version": "v3.16.5"}
COMMON = {"storage_path": "/datastorage/registry"}


def _config(credentials: Credentials = KEYED, **changes: Any) -> dict[str, Any]:
    return object_store.config(settings(**changes), one_host(**changes), credentials)


def _problems(**changes: Any) -> list[str]:
    """Return the problems of the settings of a registry without a Ceph of its own."""
    groups = topology.groups([host("quay.example.com")])
    return list(BY_NAME["object_store"].setting_problems(settings(**changes), groups))


# Names of drivers and arguments from Quay's storage/local.py, storage/cloud.py and
# storage/swift.py, which are the same in v3.16.0, v3.17.0 and v3.18.0.
@pytest.mark.parametrize(
    ("changes", "driver", "arguments"),
    [
        ({}, "LocalStorage", COMMON),
        (
            RADOSGW,
            "RadosGWStorage",
            {
                **COMMON,
                "hostname": "rgw.example.com",
                "port": 443,
                "is_secure": True,
                "access_key": ACCESS,
                "secret_key": SECRET,
                "bucket_name": "quay-storage",
            },
        ),
        (
            {**RADOSGW, "storage_tls": False, "storage_region": "eu", "storage_path": "/blobs"},
            "RadosGWStorage",
            {
                "hostname": "rgw.example.com",
                "port": 80,
                "is_secure": False,
                "region_name": "eu",
                "access_key": ACCESS,
                "secret_key": SECRET,
                "bucket_name": "quay-storage",
                "storage_path": "/blobs",
            },
        ),
        (
            S3,
            "S3Storage",
            {
                **COMMON,
                "s3_region": "eu-central-1",
                "host": "s3.eu-central-1.amazonaws.com",
                "s3_access_key": ACCESS,
                "s3_secret_key": SECRET,
                "s3_bucket": "quay-storage",
            },
        ),
        (
            {**S3, "storage_iam_role": True, "storage_region": "cn-north-1"},
            "S3Storage",
            {
                **COMMON,
                "s3_region": "cn-north-1",
                "host": "s3.cn-north-1.amazonaws.com.cn",
                "s3_bucket": "quay-storage",
            },
        ),
        (
            {**COMPATIBLE, "storage_port": 9000, "storage_tls": False},
            "S3Storage",
            {
                **COMMON,
                "endpoint_url": "http://s3.example.com:9000",
                "s3_access_key": ACCESS,
                "s3_secret_key": SECRET,
                "s3_bucket": "quay-storage",
            },
        ),
        (
            {**COMPATIBLE, "storage_port": 9000},
            "S3Storage",
            {
                **COMMON,
                "host": "s3.example.com:9000",
                "s3_access_key": ACCESS,
                "s3_secret_key": SECRET,
                "s3_bucket": "quay-storage",
            },
        ),
        (
            GCS,
            "GoogleCloudStorage",
            {
                **COMMON,
                "access_key": ACCESS,
                "secret_key": SECRET,
                "bucket_name": "quay-storage",
            },
        ),
        (
            SWIFT,
            "SwiftStorage",
            {
                **COMMON,
                "swift_user": ACCESS,
                "swift_password": SECRET,
                "swift_container": "quay-storage",
                "auth_url": "https://keystone.example.com:5000/v3",
                "auth_version": 3,
                "os_options": OPTIONS,
            },
        ),
        (
            {
                **SWIFT,
                "swift_auth_url": "http://rgw.example.com:7480/auth/v1.0",
                "swift_auth_version": 1,
                "swift_options": {},
            },
            "SwiftStorage",
            {
                **COMMON,
                "swift_user": ACCESS,
                "swift_password": SECRET,
                "swift_container": "quay-storage",
                "auth_url": "http://rgw.example.com:7480/auth/v1.0",
                "auth_version": 1,
            },
        ),
    ],
    ids=[
        "local",
        "radosgw",
        "plain radosgw",
        "s3",
        "role",
        "plain s3",
        "s3 at",
        "gcs",
        "swift",
        "v1",
    ],
)
def test_driver_and_its_arguments(
    changes: dict[str, Any], driver: str, arguments: dict[str, Any]
) -> None:
    assert _config(**changes) == {
        "DISTRIBUTED_STORAGE_CONFIG": {"default": [driver, arguments]},
        "DISTRIBUTED_STORAGE_PREFERENCE": ["default"],
        "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": ["default"],
        "FEATURE_PROXY_STORAGE": False,
    }


@pytest.mark.parametrize("changes", [{}, RADOSGW, S3, COMPATIBLE, GCS, SWIFT], ids=str)
def test_good_combinations(changes: dict[str, Any]) -> None:
    assert _problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"storage_host": "rgw.example.com"}, "storage_host", "no meaning with local"),
        ({"storage_proxy": True}, "storage_proxy", "no meaning with local"),
        ({"storage_tls": False}, "storage_tls", "no meaning with local"),
        ({"storage_path": "/blobs"}, "storage_path", "is for object storage"),
        ({"storage_bucket": "blobs"}, "storage_bucket", "no meaning with local"),
        ({**GCS, "storage_host": "s3.example.com"}, "storage_host", "no meaning with gcs"),
        ({**GCS, "storage_iam_role": True}, "storage_iam_role", "no meaning with gcs"),
        ({**RADOSGW, "storage_iam_role": True}, "storage_iam_role", "no meaning with radosgw"),
        (
            {**RADOSGW, "storage_region": "eu", "quay_version": "v3.11.0"},
            "storage_region",
            "take v3.12.0",
        ),
        ({**RADOSGW, "swift_auth_version": 1}, "swift_auth_version", "no meaning with radosgw"),
        ({**SWIFT, "storage_host": "swift.example.com"}, "storage_host", "no meaning with swift"),
        ({**SWIFT, "storage_proxy": True}, "storage_proxy", "no meaning with swift"),
        ({**SWIFT, "swift_auth_url": None}, "swift_auth_url", "not set; swift needs the address"),
        (
            {**SWIFT, "swift_options": {"tenant_id": "8b1c"}},
            "swift_options",
            "user_domain_name not",
        ),
        ({**SWIFT, "swift_options": {"user_domain_name": "x"}}, "swift_options", "tenant_id not"),
        ({**COMPATIBLE, **PLAIN_3_16}, "storage_tls", "v3.16.5 reaches an s3 store only over TLS"),
        ({"storage": "s3"}, "storage_region", "not set; s3 needs AWS's region"),
        ({**COMPATIBLE, "storage_region": "eu"}, "storage_region", "set storage to radosgw"),
        ({**S3, "storage_tls": False}, "storage_host", "AWS is reached by TLS"),
        ({**S3, "storage_port": 8443}, "storage_host", "AWS is reached by TLS"),
        ({**S3, "quay_storage_path": "/srv/quay"}, "quay_storage_path", "is for local storage"),
        ({**S3, "quay_version": "v2.9.1"}, "storage", "in its own set-up page"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(map(str, value)),
)
def test_bad_combinations(changes: dict[str, Any], key: str, message: str) -> None:
    (problem,) = _problems(**changes)
    assert problem.startswith(f"{key}: ")
    assert message in problem


def test_a_ca_for_a_store_without_tls(tmp_path: Path) -> None:
    given = {**COMPATIBLE, "storage_ca": Authority.new().save(tmp_path / "ca.pem")}
    assert _problems(**given) == []
    (problem,) = _problems(**given, storage_tls=False)
    assert problem == "storage_ca: is for TLS, and storage_tls is False; leave out one of the two"


def _refused(hosts: list[Any], **changes: Any) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        build(hosts, **changes)
    return refused.value.problems


def test_radosgw_of_the_inventory_is_used() -> None:
    ceph = host("ceph.example.com", ["ceph"], address="192.168.254.20")
    quay = host("quay.example.com", address="192.168.254.10")
    store = build([quay, ceph]).object_store
    assert store
    assert (store.kind, store.hosts) == ("radosgw", ("ceph.example.com",))
    assert store.url == "https://192.168.254.20:7480"
    assert build([quay]).object_store is None


def test_radosgw_that_is_missing_or_set_twice_is_refused() -> None:
    ceph = host("ceph.example.com", ["ceph"], address="192.168.254.20")
    quay = host("quay.example.com", address="192.168.254.10")
    (nowhere,) = _refused([quay], storage="radosgw")
    assert nowhere.startswith("storage_host: not set; put a host in group `ceph`")
    (twice,) = _refused([quay, ceph], storage_host="rgw.example.com")
    assert twice.startswith("storage_host: rgw.example.com runs elsewhere, but group `ceph` has")


def test_a_group_of_the_object_store_is_refused() -> None:
    quay = host("quay.example.com", address="192.168.254.10")
    store = host("store.example.com", ["object_store"], address="192.168.254.20")
    (problem,) = _refused([quay, store])
    assert problem.startswith("object_store: store.example.com is in group `object_store`")


def test_two_quay_hosts_are_refused_for_what_is_missing() -> None:
    hosts = [host(f"quay{n}.example.com", address=f"192.168.254.1{n}") for n in (1, 2)]
    for each in hosts[1:]:
        hosts[1] = host(each.name, ["quay"], address="192.168.254.12")
    (volume, balancer) = _refused(hosts)
    assert "the blobs are in a volume, which only one host has" in volume
    (shared,) = _refused(hosts, **S3)
    assert shared == balancer
    assert "nothing sends clients to them all" in shared


@pytest.mark.parametrize(
    ("changes", "proxy"),
    [
        ({}, "http://proxy:3128"),
        ({"no_proxy": ".amazonaws.com"}, None),
        ({"no_proxy": "example.com"}, "http://proxy:3128"),
    ],
)
def test_the_same_proxy_as_quays(changes: dict[str, Any], proxy: str | None) -> None:
    given = {**S3, "https_proxy": "http://proxy:3128", **changes}
    store = one_host(**given).object_store
    assert store
    assert object_store.proxy(settings(**given), store) == proxy


@pytest.mark.parametrize("changes", [RADOSGW, S3, GCS, SWIFT], ids=str)
def test_keys_are_read_back_from_a_bundle(changes: dict[str, Any]) -> None:
    given = settings(**changes)
    config = quay_config.build(given, one_host(**changes), KEYED)
    made = certified()
    bundle = {"config.yaml": quay_config.render(config), "ssl.cert": made.certificate or ""}
    bundle |= {"ssl.key": "", "ca.crt": made.ca_certificate or ""}
    read = adoption.adopt("0123456789abcdef", "superuser-password", bundle)
    assert read.storage_access_key == KEYED.storage_access_key
    assert read.storage_secret_key == KEYED.storage_secret_key


def test_an_object_store_replaces_the_volume(tmp_path: Any) -> None:
    store = Store("quaylab", tmp_path)
    store.save(KEYED)
    quay = host("quay.example.com", **S3)
    node = plan.make([quay], {quay.name: machine()}, store).workload("quay", quay.name)
    assert node.volume is None
    assert [mount.target for mount in node.container.mounts] == ["/conf/stack"]


def test_the_stores_ca_is_in_the_bundle(tmp_path: Any) -> None:
    store = Store("quaylab", tmp_path)
    store.save(KEYED)
    ca = tmp_path / "ca.pem"
    ca.write_text(certified().ca_certificate or "")
    quay = host("quay.example.com", **RADOSGW, storage_ca=str(ca))
    node = plan.make([quay], {quay.name: machine()}, store).workload("quay", quay.name)
    (file,) = [file for file in node.files if file.path.endswith("extra_ca_certs/storage.crt")]
    assert file.content == ca.read_text()


@pytest.mark.parametrize("asks", [True, False])
def test_keys_of_a_store_elsewhere_are_asked_for(tmp_path: Any, asks: bool) -> None:
    store = Store("quaylab", tmp_path)
    store.save(CREDENTIALS)  # of a registry whose blobs were in a volume
    asked = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "a-key"

    quay = host("quay.example.com", **S3)
    if asks:
        made = plan.make([quay], {}, store, ask=ask)
        assert made.credentials.storage_secret_key
        assert made.credentials.database_password == CREDENTIALS.database_password
        assert len(asked) == 2
        return
    with pytest.raises(Refusal) as refused:
        plan.make([quay], {}, store)
    access, secret = refused.value.problems
    assert "QUAYLAB_STORAGE_ACCESS_KEY" in access
    assert "QUAYLAB_STORAGE_SECRET_KEY" in secret


def test_a_role_needs_no_keys(tmp_path: Any) -> None:
    quay = host("quay.example.com", **S3, storage_iam_role=True)
    made = plan.make([quay], {}, Store("quaylab", tmp_path))
    assert made.credentials.storage_access_key is None


def test_keys_of_our_own_store_are_generated() -> None:
    made = with_storage_keys(CREDENTIALS)
    assert made.storage_access_key
    assert len(made.storage_access_key.get_secret_value()) == 20
    assert with_storage_keys(made) == made
