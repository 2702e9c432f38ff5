"""The parts: their files, volumes and containers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from quaylab import parts
from quaylab.containers import Mount
from quaylab.parts import CREDENTIALS_LABEL, DATA_LABEL, PATH_LABEL, REGISTRY_LABEL, Part
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials
from tests.unit.samples import SECRETS, build, certified, host, one_host, settings

LOGGED_SIZE = {"container_log_size": "5m", "container_log_files": 7}


def _database(credentials: Credentials | None = None, **changes: Any) -> Part:
    return parts.database(settings(**changes), one_host(**changes), credentials or certified())


def _redis(credentials: Credentials | None = None, **changes: Any) -> Part:
    return parts.redis(settings(**changes), one_host(**changes), credentials or certified())


def _quay(*, memory_mb: int = 8192, **changes: Any) -> Part:
    credentials = certified()
    served = certificates.own(credentials)
    where = one_host(**changes)
    return parts.quay(settings(**changes), where, credentials, served, memory_mb)


def _all(**changes: Any) -> list[Part]:
    return [_database(**changes), _redis(**changes), _quay(**changes)]


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_command_lines_hold_no_secret(engine: str) -> None:
    for part in _all(database_engine=engine):
        line = " ".join(part.container.run_arguments())
        assert not [secret for secret in SECRETS if secret in line]
        assert "PRIVATE KEY" not in line


def test_files_are_for_their_reader_alone() -> None:
    for part in _all():
        for file in part.files:
            assert file.mode in (0o400, 0o600)
            assert file.uid != 0


def test_a_changed_file_is_a_changed_container() -> None:
    other = certified().model_copy(update={"redis_password": SecretStr("another")})
    assert _redis(other).container.digest != _redis().container.digest


def test_logs_are_rotated_as_set() -> None:
    for part in _all(**LOGGED_SIZE):
        assert (part.container.log_size, part.container.log_files) == ("5m", 7)


def test_nothing_is_privileged() -> None:
    assert not any(part.container.privileged for part in _all())


# --- the database ---


@pytest.mark.parametrize(
    ("engine", "variable", "uid", "directory", "port"),
    [
        ("postgresql", "POSTGRESQL", 26, "/var/lib/pgsql/data", "127.0.0.1:5432:5432"),
        ("mysql", "MYSQL", 27, "/var/lib/mysql/data", "127.0.0.1:3306:3306"),
    ],
)
def test_database_follows_sclorgs_contract(
    engine: str, variable: str, uid: int, directory: str, port: str
) -> None:
    part = _database(database_engine=engine)
    (environment,) = part.files
    assert environment.content.splitlines() == [
        f"{variable}_USER=quay",
        f"{variable}_PASSWORD=database-password",
        f"{variable}_DATABASE=quay",
    ]
    assert (environment.uid, environment.mode) == (uid, 0o400)
    assert Mount("quaylab-database", directory) in part.container.mounts
    assert [str(each) for each in part.container.ports] == [port]


def test_database_elsewhere_is_not_published() -> None:
    hosts = [host("quay.example.com", ["quay", "redis"])]
    where = build(hosts, database_host="db.example.com")
    part = parts.database(settings(database_host="db.example.com"), where, certified())
    assert part.container.ports == ()


@pytest.mark.parametrize("password", ["it's", 'say "hi"', "$HOME `id` \\", "a;b&c|d", "ünï"])
def test_odd_password_survives_the_shell(password: str, tmp_path: Path) -> None:
    odd = certified().model_copy(update={"database_password": SecretStr(password)})
    (environment,) = _database(odd).files
    file = tmp_path / "environment"
    file.write_text(environment.content)
    read = subprocess.run(
        ["bash", "-c", 'set -a && . "$0" && printenv POSTGRESQL_PASSWORD', str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout.removesuffix("\n") == password


def test_database_is_given_time_to_stop() -> None:
    assert _database().container.stop_timeout >= 60


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("quay.io/sclorg/postgresql-15-c9s:c9s", "postgresql-15-c9s"),
        ("registry.redhat.io/rhscl/postgresql-96-rhel7:1-64", "postgresql-96-rhel7"),
        ("registry.example.com:5000/postgres:15.4-alpine", "postgres-15"),
        ("docker.io/library/postgres:16", "postgres-16"),
    ],
)
def test_data_is_labelled_with_engine_and_major_version(image: str, kind: str) -> None:
    part = _database(postgresql_image=image)
    assert part.volume
    assert part.volume.labels[DATA_LABEL] == kind


@pytest.mark.parametrize(
    ("engine", "kind"), [("postgresql", "postgresql-17"), ("mysql", "mariadb-11.8")]
)
def test_packaged_data_is_labelled_likewise(engine: str, kind: str) -> None:
    part = _database(database_engine=engine, image_source="packages")
    assert part.volume
    assert part.volume.labels[DATA_LABEL] == kind
    assert part.volume.labels[REGISTRY_LABEL] == "stand-in"


def test_volume_tells_whose_it_is() -> None:
    volume = _database(database_data="/srv/db").volume
    assert volume
    assert volume.path == volume.labels[PATH_LABEL] == "/srv/db"
    assert volume.labels[CREDENTIALS_LABEL] == certified().fingerprint
    assert volume.labels[REGISTRY_LABEL] == "quay"


# --- Redis ---


def test_redis_has_a_password_and_no_data() -> None:
    part = _redis()
    assert part.files[0].content == "REDIS_PASSWORD=redis-password\n"
    assert part.volume is None


def test_redis_listens_where_it_is_told() -> None:
    part = _redis(redis_listen="0.0.0.0", redis_port=6380)
    assert [str(port) for port in part.container.ports] == ["0.0.0.0:6380:6379"]


# --- Quay ---


def test_quays_bundle() -> None:
    content = {Path(file.path).name: file.content for file in _quay().files}
    assert set(content) == {"config.yaml", "ssl.cert", "ssl.key"}
    assert yaml.safe_load(content["config.yaml"])["SERVER_HOSTNAME"] == "quay.example.com"
    assert content["ssl.cert"].startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" in content["ssl.key"]
    assert {(file.uid, file.mode) for file in _quay().files} == {(1001, 0o600)}


def test_quay_trusts_the_companys_ca(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("a certificate")
    (trusted,) = [
        file for file in _quay(company_ca=authority).files if "extra_ca_certs" in file.path
    ]
    assert trusted.content == "a certificate"


@pytest.mark.parametrize(("part", "name"), [("database", "database.pem"), ("redis", "redis.pem")])
def test_cas_of_services_elsewhere_are_in_the_bundle(tmp_path: Path, part: str, name: str) -> None:
    authority = tmp_path / "ca.pem"
    digests = []
    for content in ("a certificate", "another"):
        authority.write_text(content)
        changes: dict[str, Any] = {f"{part}_ca": authority}
        quay = _quay(**changes)
        (file,) = [file for file in quay.files if file.path == f"/etc/quaylab/quay/{name}"]
        assert (file.content, file.uid, file.mode) == (content, 1001, 0o600)
        digests.append(quay.container.digest)
    assert digests[0] != digests[1], "a new CA is a new container"


def test_quays_ports_and_mounts() -> None:
    container = _quay(quay_http_port=9080).container
    assert [str(port) for port in container.ports] == ["0.0.0.0:443:8443", "0.0.0.0:9080:8080"]
    assert {mount.target: mount.read_only for mount in container.mounts} == {
        "/conf/stack": True,
        "/datastorage": False,
    }


def test_no_redirect_to_a_port_where_the_registry_is_not() -> None:
    """Quay's own leads to 443, whatever it is told of its port."""
    container = _quay(quay_https_port=8443, quay_http_port=8080).container
    assert [str(port) for port in container.ports] == ["0.0.0.0:8443:8443"]


def test_quay_does_not_migrate_by_itself_and_has_time_to_stop() -> None:
    container = _quay().container
    assert container.command == ("registry-nomigrate",)
    assert container.stop_timeout >= 60


@pytest.mark.parametrize(
    ("memory_mb", "given", "workers"), [(4096, None, "3"), (4096, 6, "6"), (65536, None, "8")]
)
def test_quays_workers(memory_mb: int, given: int | None, workers: str) -> None:
    environment = dict(_quay(memory_mb=memory_mb, quay_workers=given).container.environment)
    assert environment["WORKER_COUNT"] == workers
    assert environment["WORKER_COUNT_UNSUPPORTED_MINIMUM"] == workers


def test_without_a_proxy_quay_hears_of_none() -> None:
    names = dict(_quay(no_proxy="example.org").container.environment)
    assert not [name for name in names if "PROXY" in name]


def test_proxy_is_for_the_world_and_not_for_quays_own_parts() -> None:
    proxy = "http://proxy.example.com:3128"
    environment = dict(_quay(https_proxy=proxy, no_proxy="example.org").container.environment)
    assert environment["HTTPS_PROXY"] == proxy
    assert "HTTP_PROXY" not in environment
    spared = environment["NO_PROXY"].split(",")
    assert {"quay.example.com", "quaylab-database", "quaylab-redis", "example.org"} <= {*spared}


def test_blobs_are_kept_in_the_directory_given() -> None:
    volume = _quay(quay_storage_path="/srv/blobs").volume
    assert volume
    assert (volume.path, volume.uid) == ("/srv/blobs", 1001)


# --- Quay 2.9 ---

LEGACY: dict[str, Any] = {"quay_version": "v2.9.1", "quay_image": "quay.io/coreos/quay"}


def test_legacy_quay_keeps_its_old_contract() -> None:
    part = _quay(**LEGACY)
    container = part.container
    assert container.image == "quay.io/coreos/quay:v2.9.1"
    assert container.privileged
    assert [str(port) for port in container.ports] == ["0.0.0.0:443:443", "0.0.0.0:80:80"]
    assert container.command == ()
    assert part.files == ()  # its wizard writes the bundle
    assert not any(mount.read_only for mount in container.mounts)


def test_legacy_quay_takes_a_license(tmp_path: Path) -> None:
    license_file = tmp_path / "license"
    license_file.write_text("licensed")
    (file,) = _quay(**LEGACY, quay_license=license_file).files
    assert (file.path, file.content) == ("/etc/quaylab/quay/license", "licensed")
    assert file.mode == 0o600
