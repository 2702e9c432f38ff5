"""Files of CAs that settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaylab import given_files
from tests.authority import Authority
from tests.unit.samples import settings

KEYS = ("company_ca", "storage_ca", "database_ca", "redis_ca")


@pytest.mark.parametrize("key", KEYS)
def test_file_that_is_no_certificate(tmp_path: Path, key: str) -> None:
    (tmp_path / "no.pem").write_text("hello")
    assert _problems(key, tmp_path / "no.pem") == [
        f"{key}: {tmp_path}/no.pem is no PEM certificate"
    ]


@pytest.mark.parametrize("key", KEYS)
def test_expired_authority(tmp_path: Path, key: str) -> None:
    (problem,) = _problems(key, Authority.new(days=-1).save(tmp_path / "ca.pem"))
    assert problem.startswith(f"{key}: {tmp_path}/ca.pem expired on ")


@pytest.mark.parametrize("key", KEYS)
def test_authority_that_is_no_root(tmp_path: Path, key: str) -> None:
    below = Authority.new("Between", issuer=Authority.new())
    (problem,) = _problems(key, below.save(tmp_path / "ca.pem"))
    assert problem.startswith(f"{key}: {tmp_path}/ca.pem holds no root")


def test_bundle_with_one_that_has_not_expired(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(Authority.new(days=-1).pem + Authority.new().pem)
    assert _problems("redis_ca", bundle) == []


def test_private_ca_of_openssl(tmp_path: Path) -> None:
    assert _problems("storage_ca", Authority.by_openssl(tmp_path).save(tmp_path / "ca.pem")) == []


def _problems(key: str, file: Path) -> list[str]:
    return given_files.problems(settings(**{key: file}))
