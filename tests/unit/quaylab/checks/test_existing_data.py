"""Existing volumes on a host, compared with those that the run would create."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quaylab.checks import existing_data
from quaylab.engines.state import FoundVolume
from quaylab.model import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    DIGEST_LABEL,
    IMPLEMENTATION_LABEL,
    PATH_LABEL,
    Volume,
)
from quaylab.services.quay import STORAGE_VOLUME
from tests.unit.samples import CREDENTIALS, machine, workload
from tests.unit.shell import Shell

HOST = "db.example.com"
NAME = "quaylab-database"
LABELS = {
    DATA_LABEL: "postgresql-15-c9s",
    PATH_LABEL: "",
    CREDENTIALS_LABEL: CREDENTIALS.fingerprint,
    IMPLEMENTATION_LABEL: "quay",
}


def _wanted(service: str = "database", **data: Any) -> Volume:
    wanted = workload(service, **data).volume
    assert wanted
    return wanted


def _problems(service: str = "database", **found: str) -> list[str]:
    """Return the problems of a host whose volume has other labels than the wanted one."""
    return _problems_of(_wanted(service), **found)


def _problems_of(wanted: Volume, **found: str) -> list[str]:
    labels = {**wanted.labels, **{f"io.quaylab.{key}": value for key, value in found.items()}}
    with_volume = machine(volumes=(FoundVolume(wanted.name, labels),))
    return list(existing_data.data_problems(HOST, with_volume, {wanted.name: wanted}))


def test_own_data_is_fine() -> None:
    assert _wanted().labels == LABELS
    assert _problems() == []


def test_data_of_other_services_is_ignored() -> None:
    with_volume = machine(volumes=(FoundVolume("quaylab-other", {}),))
    assert list(existing_data.data_problems(HOST, with_volume, {})) == []


@pytest.mark.parametrize(
    ("data", "found", "setting"),
    [
        ({}, "postgresql-13-c9s", "postgresql_image"),
        ({}, "postgres-15", "postgresql_image"),
        ({"database_engine": "mysql"}, "mysql-84-c9s", "mysql_image"),
        ({"database_engine": "mysql"}, "mariadb-11.8", "mysql_image"),
    ],
)
def test_another_major_version_names_its_page(
    data: dict[str, str], found: str, setting: str
) -> None:
    wanted = _wanted(**data)
    (problem,) = _problems_of(wanted, data=found)
    assert problem == (
        f"{setting}: volume {NAME} on {HOST} is of {found}, but this run needs "
        f"{wanted.labels[DATA_LABEL]}, which may not read it; set it back, or follow "
        "docs/upgrade.md#another-major-version"
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
    assert "set it back, or " in problem
    assert "purge" not in problem  # it removes dumps, credentials and blobs


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


def _moved(shell: Shell, found: FoundVolume, wanted: Volume) -> None:
    """Run the commands that a problem tells people."""
    containers = {NAME: {DIGEST_LABEL: "d1"}, f"{NAME}-old": {DIGEST_LABEL: "d2"}}
    host = machine(volumes=(found,), containers=containers)
    (problem,) = existing_data.data_problems(HOST, host, {NAME: wanted})
    done = shell.run(problem.partition("and then this again: ")[2])
    assert done.returncode == 0, done.stderr


def test_data_is_moved_to_the_directory_of_a_setting(shell: Shell, tmp_path: Path) -> None:
    volume = tmp_path / "_data"
    volume.mkdir()
    (volume / "PG_VERSION").touch()
    shell.stub("docker", f"case $2 in inspect) echo {volume} ;; esac")
    wanted = _wanted(database_data=str(tmp_path / "srv"))
    _moved(shell, FoundVolume(NAME, {**wanted.labels, PATH_LABEL: ""}), wanted)
    assert (tmp_path / "srv" / NAME / "PG_VERSION").exists()
    stop, remove, _, forget, create = shell.calls
    assert (stop, forget) == (f"docker stop {NAME}", f"docker volume rm {NAME}")
    assert remove.startswith("docker rm ")
    assert create.startswith("docker volume create ")
    # With the labels by which the next run knows it.
    assert all(f"--label={key}={value}" in create for key, value in wanted.labels.items())


def test_data_is_moved_back_into_the_engines_own_directory(shell: Shell, tmp_path: Path) -> None:
    volume, device = tmp_path / "_data", tmp_path / "srv" / NAME
    volume.mkdir()
    device.mkdir(parents=True)
    (device / "PG_VERSION").touch()
    shell.stub("docker", f"case $2 in inspect) echo {volume} ;; esac")
    labels = {**LABELS, PATH_LABEL: str(tmp_path / "srv")}
    _moved(shell, FoundVolume(NAME, labels, str(device)), _wanted())
    assert (volume / "PG_VERSION").exists()
    assert not device.exists()


def test_all_differences_are_reported() -> None:
    problems = _problems(data="mysql-80-c9s", path="/srv/old")
    assert len(problems) == 2


def test_a_volume_that_somebody_else_made_is_refused() -> None:
    with_volume = machine(volumes=(FoundVolume(NAME, {}),))
    (problem,) = existing_data.data_problems(HOST, with_volume, {NAME: _wanted()})
    assert f"{HOST}: volume {NAME} was not made by Quaylab" in problem
    assert f"docker volume rm {NAME}" in problem
