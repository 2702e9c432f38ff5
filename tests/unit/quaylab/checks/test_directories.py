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


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/tmp/db", "is emptied by the system"),
        ("/var/run/db", "is emptied by the system"),
        ("/var/tmp", "is emptied by the system"),
        ("/var/lib/docker/db", "is a container engine's own"),
        ("/var/lib/containers", "is a container engine's own"),
    ],
)
@pytest.mark.parametrize("key", ["database_data", "ceph_osd_devices"])
def test_a_directory_whose_content_does_not_last(key: str, path: str, reason: str) -> None:
    value = (path, "/dev/sdb") if key == "ceph_osd_devices" else path
    (problem,) = problems(settings(**{key: value}))
    assert problem == f"{key}: {path} {reason}; name another, such as /srv/quaylab"


@pytest.mark.parametrize(
    ("key", "inside"),
    [
        ("quay_storage_path", "/srv/db/quaylab-database"),
        ("ceph_osd_devices", ("/srv/db/quaylab-database/osd",)),
    ],
)
def test_a_directory_in_the_data_of_another(key: str, inside: object) -> None:
    (problem,) = problems(settings(**{"database_data": "/srv/db", key: inside}))
    assert problem.startswith(f"{key}: /srv/db/quaylab-database")
    assert problem.endswith(" lies in the data of database_data; name one outside of /srv/db")


@pytest.mark.parametrize("blobs", ["/srv/db", "/srv/db/blobs", "/srv/dbs", "/srv"])
def test_directories_that_data_can_share(blobs: str) -> None:
    assert list(problems(settings(database_data="/srv/db", quay_storage_path=blobs))) == []


@pytest.mark.parametrize(
    "path", ["/srv", "/tmpfiles", "/var/lib/docker-data", "/var/lib/quay", "/home/quay", "/usrdata"]
)
def test_another_directory(path: str) -> None:
    assert list(problems(settings(quay_storage_path=path))) == []
