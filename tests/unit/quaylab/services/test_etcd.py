"""etcd beside several database hosts: where it runs, its ports, its container and its files."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab import topology
from quaylab.images import Image
from quaylab.model import DATA_LABEL, Mount
from quaylab.services import BY_NAME, database, etcd
from quaylab.services.base import Audience, Context
from tests.unit import clustered
from tests.unit.clustered import ADDRESSES, HOSTS, ONE, THREE, TWO, workload
from tests.unit.samples import build, host, settings

CREDENTIALS = clustered.credentials()
DATABASES = ("database",)


def _run(**changes: Any) -> Context:
    return clustered.run(given=CREDENTIALS, **changes)


def _content(run: Context, name: str, file: str) -> str:
    (found,) = (
        each.content for each in workload("etcd", run, name).files if each.path.endswith(file)
    )
    return found


# --- where it runs ---


@pytest.mark.parametrize(("number", "hosts"), [(1, ()), (3, HOSTS[:3]), (5, HOSTS[:5])])
def test_it_runs_on_several_database_hosts(number: int, hosts: tuple[str, ...]) -> None:
    assert clustered.layout(clustered.inventory(number, DATABASES)).hosts["etcd"] == hosts


def test_no_etcd_with_a_database_elsewhere() -> None:
    where = build([host("quay.example.com", ["quay", "redis"])], database_host="db.example.com")
    assert where.hosts["etcd"] == ()


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            "etcd",
            "etcd: one.example.com is in group `etcd`, which takes no hosts; etcd runs on the "
            "hosts of group `database` if there are several: leave the group out",
        ),
        (
            "router",
            "router: one.example.com is in group `router`, which takes no hosts; The router runs "
            "on the hosts of group `quay` if database or Redis has several hosts: leave the group "
            "out",
        ),
    ],
)
def test_a_group_of_a_companion_is_refused(group: str, message: str) -> None:
    groups = topology.groups(clustered.inventory(parts=(*clustered.PARTS, group)))
    assert list(BY_NAME[group].placement_problems(settings(), groups)) == [message]


# --- its ports ---


def test_members_alone_reach_it() -> None:
    ports = BY_NAME["etcd"].ports(_run(etcd_port=2479, etcd_peer_port=2480), TWO)
    assert [(port.setting, str(port.published), port.audience) for port in ports] == [
        ("etcd_port", "192.168.254.52:2479:2379", Audience.DATABASE),
        ("etcd_peer_port", "192.168.254.52:2480:2380", Audience.DATABASE),
    ]


def test_addresses_of_members_and_of_who_asks_who_leads() -> None:
    where = clustered.layout(clustered.inventory(parts=DATABASES))
    members = tuple(ADDRESSES[name] for name in HOSTS[:3])
    assert where.addresses_of(Audience.DATABASE) == members
    assert where.addresses_of(Audience.DATABASE_AND_QUAY) == (*members, "192.168.254.31")
    assert clustered.layout().addresses_of(Audience.DATABASE_AND_QUAY) == members


# --- the container ---


def test_images_come_after_what_they_are_built_on() -> None:
    base, binaries, own = BY_NAME["etcd"].images(_run(), ONE)
    assert base == database.image(settings())
    assert binaries == Image(settings().etcd_image, "registry")
    assert own.reference.startswith("quaylab/etcd:")
    assert dict(own.arguments) == {"BASE": base.reference, "ETCD": settings().etcd_image}


def test_an_archive_holds_the_image_itself() -> None:
    (own,) = BY_NAME["etcd"].images(_run(image_source="archive"), ONE)
    assert own.reference == etcd.image(settings(image_source="archive")).reference
    assert own.source == "archive"


def test_another_version_of_etcd_is_another_image() -> None:
    given = settings(etcd_image="quay.io/coreos/etcd:v3.5.99")
    assert etcd.image(given).reference != etcd.image(settings()).reference


def test_a_packaged_image_needs_no_other() -> None:
    (own,) = BY_NAME["etcd"].images(_run(image_source="packages"), ONE)
    assert own.reference.startswith("quaylab/etcd:3.5-")


def test_it_keeps_its_data_in_a_volume() -> None:
    found = workload("etcd", _run())
    assert found.volume
    assert (found.volume.name, found.volume.uid, found.volume.path) == ("quaylab-etcd", 2379, None)
    assert found.volume.labels[DATA_LABEL] == "etcd"
    assert Mount("quaylab-etcd", "/var/lib/quaylab-etcd") in found.container.mounts


def test_its_health_is_the_majoritys() -> None:
    """Asked inside the container: some hosts don't lead it back to itself by its own address."""
    health = workload("etcd", _run()).container.health
    assert "ETCDCTL_ENDPOINTS=https://127.0.0.1:2379 etcdctl " in health
    assert health.endswith(" endpoint health'")


def test_files_are_etcds_alone() -> None:
    found = workload("etcd", _run())
    assert {file.path.rpartition("/")[2]: (file.uid, file.mode) for file in found.files} == {
        "environment": (2379, 0o400),
        "members": (2379, 0o400),
        "ca.pem": (2379, 0o400),
        "member.pem": (2379, 0o400),
        "member.key": (2379, 0o400),
    }


def test_a_new_certificate_replaces_no_container() -> None:
    after = workload("etcd", clustered.run(given=clustered.credentials()))
    assert after.container == workload("etcd", _run()).container
    assert after.files != workload("etcd", _run()).files


def test_more_members_replace_no_container() -> None:
    before, after = (
        workload("etcd", clustered.run(clustered.layout(clustered.inventory(number)), CREDENTIALS))
        for number in (3, 5)
    )
    assert after.container == before.container
    assert after.files != before.files


@pytest.mark.parametrize(
    "changes", [{"etcd_port": 2479}, {"etcd_peer_port": 2480}, {"etcd_image": "etcd:v4"}], ids=str
)
def test_what_it_reads_at_its_start_replaces_the_container(changes: dict[str, Any]) -> None:
    before, after = (workload("etcd", run).container.digest for run in (_run(), _run(**changes)))
    assert after != before


# --- its files ---


def test_all_members_have_the_same_list() -> None:
    lists = {_content(_run(), name, "/members") for name in HOSTS[:3]}
    (only,) = lists
    assert only.splitlines()[0] == (
        "ETCD_INITIAL_CLUSTER=one.example.com=https://192.168.254.51:2380,"
        "two.example.com=https://192.168.254.52:2380,three.example.com=https://192.168.254.53:2380"
    )


def test_a_member_has_its_own_name_and_the_registrys_token() -> None:
    lines = _content(_run(), THREE, "/environment").splitlines()
    assert "ETCD_NAME=three.example.com" in lines
    assert f"ETCD_INITIAL_CLUSTER_TOKEN={CREDENTIALS.fingerprint}" in lines
    assert "ETCD_ADVERTISE_CLIENT_URLS=https://192.168.254.53:2379" in lines
