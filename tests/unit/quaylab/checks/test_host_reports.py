"""What hosts report against what the run would do."""

from __future__ import annotations

import pytest

from quaylab.checks import host_reports
from quaylab.hosts.machine import Engine
from quaylab.hosts.machine import Volume as Found
from quaylab.parts import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    PATH_LABEL,
    REGISTRY_LABEL,
    STORAGE_VOLUME,
    Volume,
)
from tests.unit.samples import CREDENTIALS, machine

LABELS = {
    DATA_LABEL: "postgresql-15-c9s",
    PATH_LABEL: "",
    CREDENTIALS_LABEL: CREDENTIALS.fingerprint,
    REGISTRY_LABEL: "quay",
}


def _problems(name: str = "quaylab-database", **found: str) -> list[str]:
    """Of a host whose volume differs from the wanted one in some labels."""
    labels = {**LABELS, **{f"io.quaylab.{key}": value for key, value in found.items()}}
    bearing = machine(volumes=(Found(name, labels),))
    wanted = {name: Volume(name, None, 26, LABELS)}
    return list(host_reports.data_problems("db.example.com", bearing, wanted))


def test_bare_debian_host_is_fine() -> None:
    assert list(host_reports.machine_problems("quay.example.com", machine())) == []


def test_without_root_the_flag_is_named() -> None:
    (problem,) = host_reports.machine_problems("quay.example.com", machine(uid=1000))
    assert "quay.example.com" in problem
    assert "uid 1000" in problem
    assert "--sudo" in problem


@pytest.mark.parametrize(("os_id", "told"), [("alpine", "alpine"), ("", "unknown")])
def test_unknown_system_is_refused(os_id: str, told: str) -> None:
    (problem,) = host_reports.machine_problems("quay.example.com", machine(os_id=os_id))
    assert f"operating system is {told}" in problem
    assert "debian, ubuntu, rhel" in problem


def test_unsupported_engine_is_refused_with_its_reason() -> None:
    engine = Engine(None, None, None, "rootless, and can't bind the registry's ports")
    (problem,) = host_reports.engine_problems("quay.example.com", machine(engine=engine))
    assert problem == (
        "quay.example.com: its `docker` is rootless, and can't bind the registry's ports"
    )


def test_own_data_is_fine() -> None:
    assert _problems() == []


def test_data_of_other_parts_is_none_of_ours() -> None:
    bearing = machine(volumes=(Found("quaylab-other", {}),))
    assert list(host_reports.data_problems("db.example.com", bearing, {})) == []


@pytest.mark.parametrize(
    ("found", "setting", "told"),
    [
        ({"data": "mysql-80-c9s"}, "database_engine", "is of mysql-80-c9s"),
        ({"path": "/srv/old"}, "database_data", "is of /srv/old"),
        ({"registry": "stand-in"}, "image_source", "is of stand-in"),
    ],
    ids=["engine", "directory", "stand-in"],
)
def test_foreign_data_is_refused(found: dict[str, str], setting: str, told: str) -> None:
    (problem,) = _problems(**found)
    assert problem.startswith(f"{setting}: volume quaylab-database on db.example.com {told}")
    assert "dump the data" in problem


def test_directory_of_the_storage_has_another_setting() -> None:
    (problem,) = _problems(STORAGE_VOLUME, path="/srv/blobs")
    assert problem.startswith("quay_storage_path: ")


def test_all_differences_are_told() -> None:
    problems = _problems(data="mysql-80-c9s", path="/srv/old")
    assert len(problems) == 2


def test_a_volume_of_somebody_elses_is_refused() -> None:
    bearing = machine(volumes=(Found("quaylab-database", {}),))
    wanted = {"quaylab-database": Volume("quaylab-database", None, 26, LABELS)}
    (problem,) = host_reports.data_problems("db.example.com", bearing, wanted)
    assert "db.example.com: volume quaylab-database was not made by Quaylab" in problem
    assert "docker volume rm quaylab-database" in problem


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "quay: its report can't be read; the error stands above"),
        ("sudo: sorry, you must have a tty to run sudo", "_sudo: sudo on quay wants a terminal"),
        ("\nThis account is currently not available.\n\n", "says: This account is currently not"),
        ("", "quay: runs no command for this user, and says: nothing; log in as one with a shell"),
    ],
)
def test_a_host_that_reports_nothing(said: str | None, told: str) -> None:
    assert told in host_reports.silent_problem("quay", said)
