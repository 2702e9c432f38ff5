"""Existing volumes on a host, compared with those that the run would create."""

from __future__ import annotations

import pytest

from quaylab.checks import existing_data
from quaylab.engines.state import FoundVolume
from quaylab.model import CREDENTIALS_LABEL, DATA_LABEL, IMPLEMENTATION_LABEL, PATH_LABEL, Volume
from quaylab.services.quay import STORAGE_VOLUME
from tests.unit.samples import CREDENTIALS, machine, workload

HOST = "db.example.com"
NAME = "quaylab-database"
LABELS = {
    DATA_LABEL: "postgresql-15-c9s",
    PATH_LABEL: "",
    CREDENTIALS_LABEL: CREDENTIALS.fingerprint,
    IMPLEMENTATION_LABEL: "quay",
}


def _wanted(service: str = "database") -> Volume:
    wanted = workload(service).volume
    assert wanted
    return wanted


def _problems(service: str = "database", **found: str) -> list[str]:
    """Return the problems of a host whose volume has other labels than the wanted one."""
    wanted = _wanted(service)
    labels = {**wanted.labels, **{f"io.quaylab.{key}": value for key, value in found.items()}}
    with_volume = machine(volumes=(FoundVolume(wanted.name, labels),))
    return list(existing_data.data_problems(HOST, with_volume, {wanted.name: wanted}))


def test_own_data_is_fine() -> None:
    assert _wanted().labels == LABELS
    assert _problems() == []


def test_data_of_other_services_is_ignored() -> None:
    with_volume = machine(volumes=(FoundVolume("quaylab-other", {}),))
    assert list(existing_data.data_problems(HOST, with_volume, {})) == []


def test_another_major_version_names_its_page() -> None:
    (problem,) = _problems(data="postgresql-13-c9s")
    assert problem == (
        f"postgresql_image: volume {NAME} on {HOST} is of postgresql-13-c9s, but this run needs "
        "postgresql-15-c9s, which can't read it; set it back, or follow "
        "docs/upgrade.md#another-major-version-of-postgresql"
    )


@pytest.mark.parametrize(
    ("found", "setting", "message"),
    [
        ({"data": "mysql-80-c9s"}, "database_engine", "is of mysql-80-c9s"),
        (
            {"path": "/srv/old"},
            "database_data",
            "is in /srv/old, but this run needs the engine's own directory",
        ),
        ({"registry": "stand-in"}, "image_source", "is of stand-in"),
    ],
    ids=["engine", "directory", "stand-in"],
)
def test_foreign_data_is_refused(found: dict[str, str], setting: str, message: str) -> None:
    (problem,) = _problems(**found)
    assert problem.startswith(f"{setting}: volume {NAME} on {HOST} {message}")
    assert "dump the data" in problem


@pytest.mark.parametrize(
    ("service", "name", "setting"),
    [
        ("quay", STORAGE_VOLUME, "quay_storage_path"),
        ("database", NAME, "database_data"),
    ],
)
def test_each_volumes_directory_has_a_setting_of_its_own(
    service: str, name: str, setting: str
) -> None:
    (problem,) = _problems(service, path="/srv/other")
    assert problem.startswith(f"{setting}: volume {name} on {HOST} is in /srv/other, ")


def test_all_differences_are_reported() -> None:
    problems = _problems(data="mysql-80-c9s", path="/srv/old")
    assert len(problems) == 2


def test_a_volume_that_somebody_else_made_is_refused() -> None:
    with_volume = machine(volumes=(FoundVolume(NAME, {}),))
    (problem,) = existing_data.data_problems(HOST, with_volume, {NAME: _wanted()})
    assert f"{HOST}: volume {NAME} was not made by Quaylab" in problem
    assert f"docker volume rm {NAME}" in problem
