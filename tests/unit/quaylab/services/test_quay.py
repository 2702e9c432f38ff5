"""Quay: its image, its bundle and its container."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from quaylab.services import BY_NAME, quay
from tests.unit.samples import settings, workload


def test_the_images_tag_is_its_version() -> None:
    wanted = settings(quay_image="registry.example.com:5000/quay", quay_version="v3.17.4")
    assert quay.image(wanted).reference == "registry.example.com:5000/quay:v3.17.4"


def test_packaged_quay_calls_itself_a_stand_in() -> None:
    image = quay.image(settings(image_source="packages"))
    assert image.reference.startswith("quaylab/quay-standin:v3.18.0-")
    assert dict(image.arguments)["QUAY_VERSION"] == "v3.18.0"


@pytest.mark.parametrize(("port", "count"), [(443, 1), (80, 0), (8443, 0)])
def test_http_and_https_cannot_have_the_same_port(port: int, count: int) -> None:
    problems = list(BY_NAME["quay"].setting_problems(settings(quay_http_port=port), {}))
    assert len(problems) == count
    assert all(each.startswith("quay_http_port: 443 is quay_https_port too") for each in problems)


def test_bundle() -> None:
    files = workload("quay").files
    content = {Path(file.path).name: file.content for file in files}
    assert set(content) == {"config.yaml", "ssl.cert", "ssl.key"}
    assert yaml.safe_load(content["config.yaml"])["SERVER_HOSTNAME"] == "quay.example.com"
    assert content["ssl.cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" in content["ssl.key"]
    assert {(file.uid, file.mode) for file in files} == {(1001, 0o600)}


def test_it_trusts_the_companys_ca(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("a certificate")
    files = workload("quay", company_ca=authority).files
    (trusted,) = [file for file in files if "extra_ca_certs" in file.path]
    assert trusted.content == "a certificate"


@pytest.mark.parametrize(
    ("service", "name"), [("database", "database.pem"), ("redis", "redis.pem")]
)
def test_cas_of_services_elsewhere_are_in_the_bundle(
    tmp_path: Path, service: str, name: str
) -> None:
    authority = tmp_path / "ca.pem"
    digests = []
    for content in ("a certificate", "another"):
        authority.write_text(content)
        changes: dict[str, Any] = {f"{service}_ca": authority}
        node = workload("quay", **changes)
        (file,) = [file for file in node.files if file.path == f"/etc/quaylab/quay/{name}"]
        assert (file.content, file.uid, file.mode) == (content, 1001, 0o600)
        digests.append(node.container.digest)
    assert digests[0] != digests[1], "a new CA is a new container"


def test_ports_and_mounts() -> None:
    container = workload("quay", quay_http_port=9080).container
    assert [str(port) for port in container.ports] == ["0.0.0.0:443:8443", "0.0.0.0:9080:8080"]
    assert {mount.target: mount.read_only for mount in container.mounts} == {
        "/conf/stack": True,
        "/datastorage": False,
    }


def test_no_redirect_to_a_port_where_the_registry_is_not() -> None:
    """Quay itself redirects to 443, whatever its port is."""
    container = workload("quay", quay_https_port=8443, quay_http_port=8080).container
    assert [str(port) for port in container.ports] == ["0.0.0.0:8443:8443"]


def test_health_is_checked_seldom_because_each_check_adds_lines_to_the_log() -> None:
    assert workload("quay").container.health_interval == 30


def test_it_does_not_migrate_by_itself_and_has_time_to_stop() -> None:
    container = workload("quay").container
    assert container.command == ("registry-nomigrate",)
    assert container.stop_timeout >= 60


@pytest.mark.parametrize(
    ("memory_mb", "given", "workers"), [(4096, None, "3"), (4096, 6, "6"), (65536, None, "8")]
)
def test_workers(memory_mb: int, given: int | None, workers: str) -> None:
    node = workload("quay", memory_mb=memory_mb, quay_workers=given)
    environment = dict(node.container.environment)
    assert environment["WORKER_COUNT"] == workers
    assert environment["WORKER_COUNT_UNSUPPORTED_MINIMUM"] == workers


def test_without_a_proxy_it_has_no_proxy_variables() -> None:
    names = dict(workload("quay", no_proxy="example.org").container.environment)
    assert not [name for name in names if "PROXY" in name]


def test_its_services_are_exempt_from_the_proxy() -> None:
    proxy = "http://proxy.example.com:3128"
    node = workload("quay", https_proxy=proxy, no_proxy="example.org")
    environment = dict(node.container.environment)
    assert environment["HTTPS_PROXY"] == proxy
    assert "HTTP_PROXY" not in environment
    exempt = environment["NO_PROXY"].split(",")
    assert {"quay.example.com", "quaylab-database", "quaylab-redis", "example.org"} <= {*exempt}


def test_blobs_are_stored_in_the_given_directory() -> None:
    volume = workload("quay", quay_storage_path="/srv/blobs").volume
    assert volume
    assert (volume.path, volume.uid) == ("/srv/blobs", 1001)


# --- Quay 2.9 ---

LEGACY: dict[str, Any] = {"quay_version": "v2.9.1", "quay_image": "quay.io/coreos/quay"}


def test_legacy_quay_keeps_its_old_contract() -> None:
    node = workload("quay", **LEGACY)
    container = node.container
    assert container.image == "quay.io/coreos/quay:v2.9.1"
    assert container.privileged
    assert [str(port) for port in container.ports] == ["0.0.0.0:443:443", "0.0.0.0:80:80"]
    assert container.command == ()
    assert node.files == ()  # its wizard writes the bundle
    assert not any(mount.read_only for mount in container.mounts)


def test_legacy_quay_takes_a_license(tmp_path: Path) -> None:
    license_file = tmp_path / "license"
    license_file.write_text("licensed")
    (file,) = workload("quay", **LEGACY, quay_license=license_file).files
    assert (file.path, file.content) == ("/etc/quaylab/quay/license", "licensed")
    assert file.mode == 0o600
