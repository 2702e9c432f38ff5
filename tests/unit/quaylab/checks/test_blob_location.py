"""Another location is refused, because Quay would not find its blobs there."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.checks import blob_location
from quaylab.engines.state import FoundVolume as Volume
from quaylab.services.quay import STORAGE_VOLUME
from tests.unit.samples import CREDENTIALS, build, host, machine, settings

S3: dict[str, Any] = {"storage": "s3", "storage_region": "eu-central-1"}
IN_S3 = "default s3 s3.eu-central-1.amazonaws.com:443/quay-storage/datastorage/registry"
VOLUME = Volume(STORAGE_VOLUME, {})


def _problems(before: str | None, volumes: tuple[Volume, ...] = (), **changes: Any) -> list[str]:
    topology = build([host("quay.example.com")], **changes)
    noted = f"{CREDENTIALS.fingerprint} {before}" if before else None
    leader = machine(storage=noted, volumes=volumes)
    return list(blob_location.problems(settings(**changes), topology, leader))


def test_the_note() -> None:
    note = blob_location.note(settings(**S3), build([host("quay.example.com")], **S3), CREDENTIALS)
    assert note.path == "/var/lib/quaylab/storage"
    assert note.content == f"{CREDENTIALS.fingerprint} {IN_S3}\n"


@pytest.mark.parametrize(
    ("before", "volumes", "changes"),
    [
        (None, (), {}),
        (None, (), S3),
        (None, (VOLUME,), {}),
        ("default local", (VOLUME,), {}),
        (IN_S3, (), S3),
    ],
    ids=["new", "new in s3", "volume without a note", "local", "s3"],
)
def test_the_same_location(
    before: str | None, volumes: tuple[Volume, ...], changes: dict[str, Any]
) -> None:
    assert _problems(before, volumes, **changes) == []


@pytest.mark.parametrize(
    ("before", "volumes", "changes", "setting"),
    [
        (None, (VOLUME,), S3, "storage"),
        (None, (VOLUME,), {"storage_location": "other"}, "storage_location"),
        ("default local", (VOLUME,), S3, "storage"),
        (IN_S3, (), {}, "storage"),
        (IN_S3, (), {**S3, "storage_bucket": "another-one"}, "storage"),
        (IN_S3, (), {**S3, "storage_path": "/blobs"}, "storage"),
        (IN_S3, (), {**S3, "storage_region": "eu-west-1"}, "storage"),
        (IN_S3, (), {**S3, "storage_location": "other"}, "storage_location"),
    ],
    ids=["to s3", "name", "to s3 with a note", "back", "bucket", "path", "region", "name in s3"],
)
def test_another_location_is_refused_with_the_reason(
    before: str | None, volumes: tuple[Volume, ...], changes: dict[str, Any], setting: str
) -> None:
    (problem,) = _problems(before, volumes, **changes)
    assert problem.startswith(f"{setting}: Quay's blobs are in ")
    assert repr(before or "default local") in problem
    assert "it would find none of them; set it back, or copy all blobs there" in problem


def test_without_a_report_of_the_leader_there_is_no_problem() -> None:
    topology = build([host("quay.example.com")], **S3)
    assert list(blob_location.problems(settings(**S3), topology, None)) == []
