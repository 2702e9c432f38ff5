"""Files that settings name: CAs, pull secret, image archive."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from quaylab.checks import given_files
from quaylab.services import SERVICES
from tests.authority import Authority
from tests.unit.samples import settings

KEYS = ("company_ca", "storage_ca", "database_ca", "redis_ca")


@pytest.mark.parametrize("key", KEYS)
def test_file_that_is_no_certificate(tmp_path: Path, key: str) -> None:
    (tmp_path / "no.pem").write_text("hello")
    assert _problems(key, tmp_path / "no.pem") == [
        f"{key}: {tmp_path}/no.pem is not a PEM certificate"
    ]


@pytest.mark.parametrize("key", KEYS)
def test_expired_authority(tmp_path: Path, key: str) -> None:
    (problem,) = _problems(key, Authority.new(days=-1).save(tmp_path / "ca.pem"))
    assert problem.startswith(f"{key}: {tmp_path}/ca.pem expired on ")


@pytest.mark.parametrize("key", KEYS)
def test_authority_that_is_not_a_root(tmp_path: Path, key: str) -> None:
    below = Authority.new("Between", issuer=Authority.new())
    (problem,) = _problems(key, below.save(tmp_path / "ca.pem"))
    assert problem.startswith(f"{key}: {tmp_path}/ca.pem has only intermediate CAs")


def test_bundle_with_one_that_has_not_expired(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Authority.new(days=-1).pem + Authority.new().pem)
    assert _problems("redis_ca", bundle) == []


def test_private_ca_of_openssl(tmp_path: Path) -> None:
    assert _problems("storage_ca", Authority.by_openssl(tmp_path).save(tmp_path / "ca.pem")) == []


def _problems(key: str, file: Path) -> list[str]:
    """Return the problems with the file; those of CAs of services come from the services."""
    given = settings(**{key: file})
    groups = {service.name: () for service in SERVICES}
    found = [problem for each in SERVICES for problem in each.setting_problems(given, groups)]
    return [each for each in given_files.problems(given) + found if str(file) in each]


@pytest.mark.parametrize("key", KEYS)
def test_ca_file_with_a_private_key_or_other_encoding(tmp_path: Path, key: str) -> None:
    authority = Authority.new()
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes("# München\n".encode("latin-1") + authority.pem.encode())
    (problem,) = _problems(key, bundle)
    assert problem.startswith(f"{key}: {bundle} is not text in UTF-8")
    bundle.write_text(authority.pem + authority.sign("db.example.com")[1])
    (problem,) = _problems(key, bundle)
    assert problem.startswith(f"{key}: {bundle} holds a private key as well")


@pytest.mark.parametrize(
    "text",
    [
        '{"auths": {}}',
        '{"auths": {"quay.io": null}}',
        '{"auths": {"quay.io": "x"}}',
        '{"auths": {"quay.io": {"auth": 1}}}',
        '{"auths": {"quay.io": {}}, "credsStore": "desktop"}',
        "[" * 100000,
    ],
    ids=["none", "null", "text", "number", "credential store", "deep"],
)
def test_pull_secret_without_a_login(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "config.json"
    secret.write_text(text)
    (problem,) = _problems("pull_secret", secret)
    assert problem.startswith(f"pull_secret: {secret} is not a config.json with logins; ")


@pytest.mark.parametrize("entry", [{"auth": "bWU6cHc="}, {"username": "me", "password": "pw"}])
def test_pull_secret(tmp_path: Path, entry: dict[str, str]) -> None:
    secret = tmp_path / "config.json"
    secret.write_text(json.dumps({"auths": {"quay.io": entry}}))
    assert _problems("pull_secret", secret) == []


@pytest.mark.parametrize("content", [b"", b"FROM scratch\n", b"\x1f\x8b"])
def test_image_archive_that_is_not_an_archive(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "images.tar"
    archive.write_bytes(content)
    given = settings(image_source="archive", image_archive=archive)
    (problem,) = given_files.problems(given)
    assert problem.startswith(f"image_archive: {archive} is not an archive; ")


@pytest.mark.parametrize("mode", ["w", "w:gz", "zstd"])
def test_image_archive_that_docker_loads(tmp_path: Path, mode: str) -> None:
    archive = tmp_path / "images.tar"
    if mode == "zstd":
        archive.write_bytes(given_files.ZSTANDARD + b"rest")
    else:
        with tarfile.open(archive, mode) as made:  # type: ignore[call-overload]
            made.add(__file__, "manifest.json")
    assert given_files.problems(settings(image_source="archive", image_archive=archive)) == []


def test_a_license_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "license").write_bytes(b"\xff\xfe")
    (problem,) = _problems("quay_license", tmp_path / "license")
    assert problem.startswith(f"quay_license: {tmp_path}/license is not text in UTF-8; ")
    (tmp_path / "license").write_text("license")
    assert _problems("quay_license", tmp_path / "license") == []
