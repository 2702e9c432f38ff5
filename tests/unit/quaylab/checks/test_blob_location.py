"""Another location is refused, because Quay would not find its blobs there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from quaylab.checks import blob_location
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import DIGEST_LABEL, PATH_LABEL
from quaylab.services.quay import STORAGE_VOLUME
from tests.unit.samples import CREDENTIALS, build, host, machine, settings

S3: dict[str, Any] = {"storage": "s3", "storage_region": "eu-central-1"}
IN_S3 = "default s3 s3.eu-central-1.amazonaws.com:443/quay-storage/datastorage/registry"
VOLUME = Volume(STORAGE_VOLUME, {})
EMPTY = Volume(STORAGE_VOLUME, {PATH_LABEL: ""}, empty=True)
UNMOUNTED = Volume(STORAGE_VOLUME, {PATH_LABEL: "/srv"}, "/srv/volume", missing=True, empty=True)
OTHER: dict[str, Any] = {"storage_location": "other"}


def _problems(
    before: str | None,
    volumes: tuple[Volume, ...] = (),
    containers: Mapping[str, Mapping[str, str]] | None = None,
    **changes: Any,
) -> list[str]:
    topology = build([host("quay.example.com")], **changes)
    noted = f"{CREDENTIALS.fingerprint} {before}" if before else None
    quay = machine(storage=noted, volumes=volumes, containers=containers or {})
    return list(blob_location.problems(settings(**changes), topology, CREDENTIALS, quay))


def test_a_former_host_of_quays_has_to_come_back_to_have_its_blobs_moved() -> None:
    topology = build([host("quay.example.com")], **S3)
    former = machine(storage=f"{CREDENTIALS.fingerprint} default local")
    (problem,) = blob_location.problems(
        settings(**S3), topology, CREDENTIALS, former, "old.example.com"
    )
    assert problem.endswith(
        "put old.example.com into the group `quay` again and move them there by "
        "tasks/move_blobs.py, which takes these settings"
    )


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
        (None, (EMPTY,), OTHER),
        (None, (EMPTY,), S3),
        ("default local", (VOLUME,), {}),
        (IN_S3, (), S3),
    ],
    ids=[
        "new",
        "new in s3",
        "volume without a note",
        "killed before the note",
        "killed before the note, then to s3",
        "local",
        "s3",
    ],
)
def test_the_same_location(
    before: str | None, volumes: tuple[Volume, ...], changes: dict[str, Any]
) -> None:
    assert _problems(before, volumes, **changes) == []


@pytest.mark.parametrize(
    ("before", "volumes", "changes", "setting"),
    [
        (None, (VOLUME,), S3, "storage"),
        (None, (VOLUME,), OTHER, "storage_location"),
        (None, (UNMOUNTED,), OTHER, "storage_location"),
        ("default local", (VOLUME,), S3, "storage"),
        (IN_S3, (), {}, "storage"),
        (IN_S3, (), {**S3, "storage_bucket": "another-one"}, "storage"),
        (IN_S3, (), {**S3, "storage_path": "/blobs"}, "storage"),
        (IN_S3, (), {**S3, "storage_region": "eu-west-1"}, "storage"),
        (IN_S3, (), {**S3, "storage_location": "other"}, "storage_location"),
    ],
    ids=[
        "to s3",
        "name",
        "not mounted",
        "to s3 with a note",
        "back",
        "bucket",
        "path",
        "region",
        "name in s3",
    ],
)
def test_another_location_is_refused_with_the_reason(
    before: str | None, volumes: tuple[Volume, ...], changes: dict[str, Any], setting: str
) -> None:
    (problem,) = _problems(before, volumes, **changes)
    assert problem.startswith(f"{setting}: Quay's blobs are in ")
    assert repr(before or "default local") in problem
    moves = before in (None, "default local") and "storage" in changes
    remedy = "move them there by tasks/move_blobs.py" if moves else "copy all blobs there"
    assert f"it would find none of them; set it back, or {remedy}" in problem


def test_after_a_move_the_line_of_a_lost_note_is_printed() -> None:
    """The volume stays after it, and would be moved again."""
    (lost,) = _problems(None, (VOLUME,), **S3)
    assert lost.endswith(
        f"write this line into /var/lib/quaylab/storage on quay.example.com: "
        f"{CREDENTIALS.fingerprint} {IN_S3}"
    )
    (noted,) = _problems("default local", (VOLUME,), **S3)
    assert "write this line" not in noted


def test_an_empty_volume_of_a_registry_that_served_is_in_the_place_from_before_the_note() -> None:
    """Its disk may not be mounted."""
    served = {"quaylab-quay": {DIGEST_LABEL: "digest"}}
    (problem,) = _problems(None, (EMPTY,), served, **OTHER)
    assert "blobs are in 'default local'" in problem


def test_balancers_in_front_of_our_ceph_move_no_blob() -> None:
    """It is the same Ceph, whichever address Quay uses."""
    ceph = [host(name, ["ceph"], address=f"10.0.0.2{name[-1]}") for name in ("c1", "c2", "c3")]
    groups = ("quay", "database", "redis")
    behind = [host("quay.example.com", (*groups, "balancer"), address="10.0.0.1"), *ceph]
    alone = [host("quay.example.com", groups, address="10.0.0.1"), *ceph]
    places = {blob_location.place(settings(), build(hosts)) for hosts in (alone, behind)}
    assert places == {"default radosgw 10.0.0.21:7480/quay-storage/datastorage/registry"}


def test_the_task_does_not_move_to_swift() -> None:
    changes: dict[str, Any] = {
        "storage": "swift",
        "swift_auth_url": "https://keystone.example.com/v3",
    }
    (problem,) = _problems("default local", (VOLUME,), **changes)
    assert "set it back, or copy all blobs there" in problem


def _move_problems(
    before: str | None,
    groups: dict[str, tuple[str, ...]] | None = None,
    is_ours: bool = True,
    **changes: Any,
) -> list[str]:
    names = groups or {"quay.example.com": ("quay", "database", "redis")}
    topology = build(
        [
            host(name, its, address=f"10.0.0.{number}")
            for number, (name, its) in enumerate(names.items(), 1)
        ],
        **changes,
    )
    noted = f"{CREDENTIALS.fingerprint} {before}" if before else None
    quay = machine(storage=noted, volumes=(VOLUME,) if is_ours else ())
    return list(blob_location.move_problems(settings(**changes), topology, quay, is_ours))


@pytest.mark.parametrize("before", [None, "default local"], ids=["no note", "note"])
@pytest.mark.parametrize("kind", ["radosgw", "s3", "gcs"])
def test_blobs_can_be_moved_from_a_volume(before: str | None, kind: str) -> None:
    changes: dict[str, Any] = {"storage": kind}
    changes |= {"storage_host": "rgw.example.com"} if kind == "radosgw" else {}
    changes |= {"storage_region": "eu-central-1"} if kind == "s3" else {}
    assert _move_problems(before, **changes) == []


SWIFT = {"storage": "swift", "swift_auth_url": "https://keystone.example.com/v3"}


@pytest.mark.parametrize(
    ("before", "is_ours", "changes", "message"),
    [
        ("default local", True, {}, "storage: local; set storage"),
        ("default local", True, SWIFT, "storage: this task copies by S3's protocol, and swift"),
        (IN_S3, True, S3, "already, so nothing is moved; run deploy.py"),
        (IN_S3, False, {**S3, "storage_bucket": "another"}, "from a volume only"),
        (None, False, S3, "storage: quay.example.com has no blobs of this registry"),
        ("other local", True, S3, "storage_location: Quay knows its blobs as those of 'other'"),
        ("default local", False, S3, "is not on quay.example.com, or its disk is not mounted"),
    ],
    ids=["local", "swift", "done", "from a store", "new", "location", "no volume"],
)
def test_what_the_task_does_not_move(
    before: str | None, is_ours: bool, changes: dict[str, Any], message: str
) -> None:
    (problem,) = _move_problems(before, is_ours=is_ours, **changes)
    assert message in problem


def test_nothing_is_moved_while_several_hosts_have_quay() -> None:
    groups = {
        "quay.example.com": ("quay", "database", "redis", "balancer"),
        "second.example.com": ("quay",),
    }
    (problem,) = _move_problems("default local", groups, **S3)
    assert problem.startswith("quay: 2 hosts in group `quay`, and one of them has the blobs")


def test_nothing_is_moved_without_quays_host() -> None:
    topology = build([host("quay.example.com")], **S3)
    (problem,) = blob_location.move_problems(settings(**S3), topology, None, False)
    assert problem.startswith("quay: quay.example.com has the blobs and takes no part")


def test_without_a_report_of_the_leader_there_is_no_problem() -> None:
    topology = build([host("quay.example.com")], **S3)
    assert list(blob_location.problems(settings(**S3), topology, CREDENTIALS, None)) == []
