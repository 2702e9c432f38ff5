"""Directories that can't be used for data, because the system uses them."""

from __future__ import annotations

import pytest

from quaylab.checks.directories import problems
from tests.unit.samples import settings


@pytest.mark.parametrize("path", ["/etc", "/usr/share/quay", "/proc/x", "/var/lib", "/home"])
def test_a_system_directory(path: str) -> None:
    (problem,) = problems(settings(database_data=path))
    assert problem.startswith(f"database_data: {path} is the system's own; ")


def test_the_directories_of_every_service() -> None:
    keys = ("ceph_data", "database_data", "quay_storage_path")
    found = problems(settings(**dict.fromkeys(keys, "/etc")))
    assert [problem.split(":")[0] for problem in found] == [*keys]


@pytest.mark.parametrize("path", ["/srv", "/var/lib/quay", "/home/quay", "/usrdata"])
def test_another_directory(path: str) -> None:
    assert list(problems(settings(quay_storage_path=path))) == []
