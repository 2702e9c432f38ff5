"""Which Quay runs on which database."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaylab import versions
from tests.unit.samples import settings


@pytest.mark.parametrize(
    ("engine", "given", "version"),
    [
        ("postgresql", None, "v3.18.0"),
        ("mysql", None, "v3.16.5"),
        ("postgresql", "v3.17.4", "v3.17.4"),
        ("mysql", "v3.15.1", "v3.15.1"),
    ],
)
def test_version(engine: str, given: str | None, version: str) -> None:
    assert versions.quay_version(settings(database_engine=engine, quay_version=given)) == version


@pytest.mark.parametrize(
    ("engine", "version", "source"),
    [
        ("postgresql", None, "registry"),
        ("postgresql", "v3.17.0", "packages"),
        ("mysql", "v3.16.5", "packages"),
        ("postgresql", "v2.9.1", "registry"),
        ("mysql", "v2.9.1", "registry"),
    ],
)
def test_versions_that_work(engine: str, version: str | None, source: str) -> None:
    wanted = settings(database_engine=engine, quay_version=version, image_source=source)
    assert versions.problems(wanted) == []


@pytest.mark.parametrize(
    ("engine", "version", "source", "reason"),
    [
        ("mysql", "v3.17.0", "registry", "migrations work on PostgreSQL only; set v3.16.5"),
        ("mysql", "v3.18.0", "packages", "migrations work on PostgreSQL only; set v3.16.5"),
        ("postgresql", "v4.0.0", "registry", "3.x (or v2.9.1) is"),
        ("postgresql", "v3.6.2", "registry", "set v3.7.0 or newer"),
        ("postgresql", "v2.9.1", "packages", "has no stand-in; set image_source to registry"),
    ],
)
def test_versions_that_do_not_work(engine: str, version: str, source: str, reason: str) -> None:
    wanted = settings(database_engine=engine, quay_version=version, image_source=source)
    (problem,) = versions.problems(wanted)
    assert problem.startswith(f"quay_version: {version}")
    assert reason in problem


@pytest.mark.parametrize(("version", "legacy"), [("v2.9.1", True), ("v3.0.0", False)])
def test_legacy(version: str, legacy: bool) -> None:
    assert versions.is_legacy(version) is legacy


def test_a_license_is_for_the_legacy_quay_only(tmp_path: Path) -> None:
    license_file = tmp_path / "license"
    license_file.write_text("x")
    assert versions.problems(settings(quay_license=license_file, quay_version="v2.9.1")) == []
    (problem,) = versions.problems(settings(quay_license=license_file))
    assert problem.startswith("quay_license: ")
    assert "leave it out" in problem
