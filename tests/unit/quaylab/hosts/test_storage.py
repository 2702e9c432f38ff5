"""Storages: problems with the disks, and the work that is left to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from quaylab.engines import daemon_settings
from quaylab.hosts import storage, storage_problems
from quaylab.hosts.disks import Disks
from quaylab.hosts.storage import Storage, Work
from quaylab.problems import Refusal
from quaylab.settings.loading import load
from tests.unit.recorded_disks import bare, disk, made
from tests.unit.samples import HOST_DEFAULTS, host, host_settings, machine, settings

DOCKER = Storage("docker_storage", ("/dev/vdb",), "docker-vg", "docker", None, False)
QUAY = Storage("quay_storage", ("QUAY",), "quay-vg", "quay", "/srv/quay-storage", False)
NAME = "quay.example.com"
RHEL_7 = machine(os_id="rhel", os_version="7.9", os_like=("fedora",))
LSBLK = 'disk KNAME="dm-0"'
VDB_PART = (disk("vdb1", "vdb"), "signature /dev/vdb dos")
FOREIGN = (
    "signature /dev/vdb LVM2_member",
    "pv /dev/vdb|data|used|3217031168",
    "vg data||3217031168|0|4194304|0",
)


def _problems(disks: Disks, *storages: Storage, **changes: Any) -> list[str]:
    return list(storage_problems.problems(NAME, machine(**changes), disks, storages))


def test_new_disks_and_existing_storage_have_no_problems() -> None:
    assert _problems(bare(), DOCKER, QUAY) == []
    assert _problems(made(), DOCKER, QUAY) == []


# For docker_storage on /dev/vdb: the disks, changes of the setting, the problem's key and words.
REFUSED: dict[str, tuple[Disks, dict[str, Any], str, tuple[str, ...]]] = {
    "no such path": (
        bare(),
        {"devices": ("/dev/vdz",)},
        "docker_storage.devices",
        ("/dev/vdz is not a disk", "/dev/vdb (3.0 GiB, serial DOCKER)"),
    ),
    "no such serial": (
        bare(),
        {"devices": ("X1",)},
        "docker_storage.devices",
        ("X1 is not a disk",),
    ),
    "ambiguous serial": (
        bare(disk("vde", kind="disk", SERIAL="DOCKER")),
        {"devices": ("DOCKER",)},
        "docker_storage.devices",
        ("/dev/vdb, /dev/vde", "name a path"),
    ),
    "twice": (
        bare(),
        {"devices": ("/dev/vdb", "/dev/vdb")},
        "docker_storage.devices",
        ("name each disk once",),
    ),
    "twice by an alias": (
        bare(),
        {"devices": ("/dev/vdb", "/dev/disk/by-id/virtio-DOCKER")},
        "docker_storage.devices",
        ("/dev/disk/by-id/virtio-DOCKER is the disk", "as /dev/vdb"),
    ),
    "file system": (
        bare("signature /dev/vdb ext4"),
        {},
        "docker_storage.devices",
        ("holds a signature of ext4", "wipe"),
    ),
    "partitions": (bare(*VDB_PART), {}, "docker_storage.devices", ("partitions (/dev/vdb1)",)),
    "foreign volume group": (
        bare(*FOREIGN),
        {},
        "docker_storage.devices",
        ("a part of volume group data", "wipe"),
    ),
    "physical volume of a group that can't be seen": (
        bare("signature /dev/vdb LVM2_member", "pv /dev/vdb||used|3217031168"),
        {},
        "docker_storage.devices",
        ("a signature of LVM2_member",),
    ),
    "physical volume that LVM was set to ignore": (
        bare("signature /dev/vdb LVM2_member"),
        {"wipe": True},
        "docker_storage.devices",
        ("/dev/vdb of quay.example.com is a physical volume that `pvs` doesn't show",),
    ),
    "mounted": (
        bare(disk("vdb", kind="disk", MOUNTPOINT="/home"), without=('disk KNAME="vdb"',)),
        {"wipe": True},
        "docker_storage.devices",
        ("in use: /dev/vdb is mounted at /home",),
    ),
    "the system's": (
        bare(),
        {"devices": ("/dev/vda",), "wipe": True},
        "docker_storage.devices",
        ("in use: /dev/vda is mounted at /",),
    ),
    "swap on a partition": (
        bare(disk("vdb1", "vdb", MOUNTPOINT="[SWAP]")),
        {"wipe": True},
        "docker_storage.devices",
        ("/dev/vdb1 is swap",),
    ),
    "raid": (
        bare(disk("md0", "vdb", kind="raid1")),
        {"wipe": True},
        "docker_storage.devices",
        ("/dev/md0 (raid1) lies on it",),
    ),
    "volume group with other disks": (
        bare(*FOREIGN, "pv /dev/vdd|data|used|3217031168"),
        {"wipe": True},
        "docker_storage.devices",
        ("volume group data", "/dev/vdd as well"),
    ),
    "volume group's name": (
        bare("pv /dev/vdd|docker-vg|used|1", "vg docker-vg||3217031168|0|4194304|0"),
        {"wipe": True},
        "docker_storage.volume_group",
        ("docker-vg is on quay.example.com already, on /dev/vdd", "take another name"),
    ),
    "disk left out": (
        made("pv /dev/vdd|docker-vg|used|3217031168"),
        {},
        "docker_storage.devices",
        ("/dev/vdd of quay.example.com is a part of docker-vg", "no disk is taken out"),
    ),
    "disk lost": (
        made("vg docker-vg|quaylab|3217031168|0|4194304|1", without=("vg docker-vg",)),
        {},
        "docker_storage.volume_group",
        ("lacks 1 disks",),
    ),
    "other file system in the volume": (
        made(
            disk("dm-0", "vdb", "lvm", FSTYPE="ext4"),
            without=('disk KNAME="dm-0"', "fstab UUID=e6"),
        ),
        {},
        "docker_storage.volume_group",
        ("holds ext4, not xfs",),
    ),
    "fstab": (
        bare("fstab UUID=0815 /var/lib/docker ext4 defaults 0 0"),
        {},
        "docker_storage",
        ("mounts UUID=0815 at /var/lib/docker", "remove that line"),
    ),
    "other mount": (
        bare("mount /dev/vdd1 /var/lib/docker ext4 rw"),
        {},
        "docker_storage",
        ("/dev/vdd1 is mounted at /var/lib/docker",),
    ),
    "no quotas": (
        made(
            "mount /dev/dm-0 /var/lib/docker xfs rw,noquota",
            without=("mount /dev/dm-0",),
        ),
        {},
        "docker_storage",
        ("without project quotas",),
    ),
    "no file types": (
        made(
            "xfs /var/lib/docker data     =     bsize=4096   blocks=785408, imaxpct=25",
            "xfs /var/lib/docker naming   =version 2     bsize=4096   ascii-ci=0 ftype=0",
            without=("xfs /var/lib/docker",),
        ),
        {},
        "docker_storage",
        ("without ftype=1",),
    ),
    "data of an engine": (
        bare("data /var/lib/docker/volumes/kept"),
        {},
        "docker_storage",
        ("has data already (/var/lib/docker/volumes/kept)", "would hide"),
    ),
    "settings of the engine": (
        bare('daemon { "log-driver": }'),
        {},
        "docker_storage",
        ("daemon.json of quay.example.com is not valid JSON", "column 17"),
    ),
    "settings that are a list": (bare("daemon []"), {}, "docker_storage", ("no JSON object",)),
    "containerd's store": (
        bare('daemon {"features": {"containerd-snapshotter": true}}'),
        {},
        "docker_storage",
        ("turns on containerd-snapshotter",),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    disks, changes, key, words = REFUSED[case]
    (problem,) = _problems(disks, replace(DOCKER, **changes))
    assert problem.startswith(f"{key}: ")
    for word in (NAME, *words):
        assert word in problem


BOTH: dict[str, tuple[Disks, Storage, str, str]] = {
    "one disk for two": (
        bare(),
        replace(QUAY, devices=("DOCKER",)),
        "quay_storage.devices",
        "DOCKER is the disk that docker_storage.devices names as /dev/vdb",
    ),
    "overlapping": (
        bare(*VDB_PART),
        replace(QUAY, devices=("/dev/vdb1",)),
        "quay_storage.devices",
        "/dev/vdb1 and /dev/vdb overlap",
    ),
    "one volume group for two": (
        bare(),
        replace(QUAY, volume_group="docker-vg"),
        "quay_storage.volume_group",
        "docker-vg is docker_storage's too",
    ),
    "data at the mount point": (
        bare("occupied /srv/quay-storage"),
        QUAY,
        "quay_storage",
        "/srv/quay-storage on quay.example.com holds data",
    ),
    "inside of the engine's root": (
        bare(),
        replace(QUAY, path="/var/lib/docker/quay"),
        "quay_storage",
        "lie in each other",
    ),
    "mounted elsewhere": (
        made(
            "mount /dev/dm-1 /mnt xfs rw,prjquota",
            without=("mount /dev/dm-1", "fstab UUID=5e"),
        ),
        QUAY,
        "quay_storage",
        "is mounted at /mnt",
    ),
}


@pytest.mark.parametrize("case", BOTH)
def test_refused_combinations_of_both(case: str) -> None:
    disks, quay, key, words = BOTH[case]
    docker = replace(DOCKER, wipe=True)
    (problem,) = _problems(disks, docker, quay)
    assert problem.startswith(f"{key}: ")
    assert words in problem


def test_running_engine_without_systemd_is_refused() -> None:
    (problem,) = _problems(bare("running"), DOCKER, systemd=False)
    assert problem.startswith("docker_storage: dockerd runs on quay.example.com")
    assert _problems(bare("running"), DOCKER) == []


def test_all_problems_are_reported_at_once() -> None:
    disks = bare("signature /dev/vdb ext4", "data x", "daemon {", "occupied /srv/quay-storage")
    assert len(_problems(disks, DOCKER, replace(QUAY, devices=("NOPE",)))) == 5


def test_bind_mounts_of_the_engine_are_accepted() -> None:
    volume = "mount /dev/dm-1 /var/lib/docker/volumes/quaylab-quay-storage/_data xfs rw,prjquota"
    assert _problems(made(volume, without=("mount /dev/dm-1",)), DOCKER, QUAY) == []


# --- the work to do ---

NEW = Work(
    create=True,
    devices=("/dev/vdb",),
    volume=True,
    format=True,
    force=True,
    fstab=True,
    mount=True,
)
UNMOUNTED = disk("dm-0", "vdb", "lvm", FSTYPE="xfs", UUID="e617050f-5521-41e0-a969-ef778f9cbbb4")
BLANK = disk("dm-0", "vdb", "lvm")
SEEN_MOUNTED = ("mount /dev/dm-0", "xfs /var/lib/docker", LSBLK)
NOT_IN_FSTAB = (*SEEN_MOUNTED, "fstab UUID=e6")
HALF = "lv docker-vg|docker|3217031168|quaylab.unformatted"

# States after a kill between any two steps.
RESUMED: dict[str, tuple[Disks, Work]] = {
    "nothing": (bare(), NEW),
    "physical volume": (
        bare("signature /dev/vdb LVM2_member", "pv /dev/vdb|||3220176896"),
        NEW,
    ),
    "volume group": (
        made(without=("lv docker-vg", *NOT_IN_FSTAB)),
        replace(NEW, create=False, devices=()),
    ),
    "logical volume": (
        made(HALF, BLANK, without=("lv docker-vg", *NOT_IN_FSTAB)),
        Work(format=True, force=True, fstab=True, mount=True),
    ),
    "half a file system": (
        made(HALF, UNMOUNTED, without=("lv docker-vg", *NOT_IN_FSTAB)),
        Work(format=True, force=True, fstab=True, mount=True),
    ),
    "volume of RHEL 7's command without a file system": (
        made(BLANK, without=NOT_IN_FSTAB),
        Work(format=True, fstab=True, mount=True),
    ),
    "file system": (made(UNMOUNTED, without=NOT_IN_FSTAB), Work(fstab=True, grow=True, mount=True)),
    "line in fstab": (made(UNMOUNTED, without=SEEN_MOUNTED), Work(grow=True, mount=True)),
    "all": (made(), Work()),
    "other options in fstab": (
        made(
            "fstab UUID=e617050f-5521-41e0-a969-ef778f9cbbb4 /var/lib/docker xfs defaults 0 0",
            without=("fstab UUID=e6",),
        ),
        Work(fstab=True),
    ),
    "extended group": (
        made("vg docker-vg|quaylab|3217031168|3217031168|4194304|0", without=("vg docker-vg",)),
        Work(grow=True),
    ),
    "extended volume": (
        made("lv docker-vg|docker|6434062336|", without=("lv docker-vg",)),
        Work(grow=True),
    ),
    "grown disk": (
        made(
            disk("vdb", kind="disk", SIZE="4294967296"),
            without=('disk KNAME="vdb"',),
        ),
        Work(resize=("/dev/vdb",), grow=True),
    ),
}


@pytest.mark.parametrize("case", RESUMED)
def test_work(case: str) -> None:
    disks, wanted = RESUMED[case]
    assert _problems(disks, DOCKER) == []
    assert storage.work(DOCKER, disks) == wanted


def test_another_disk_extends_all() -> None:
    more = replace(DOCKER, devices=("/dev/vdb", "SPARE1"))
    assert _problems(made(), more, QUAY) == []
    assert storage.work(more, made()) == Work(devices=("/dev/vdd",), grow=True)


WIPED: dict[str, tuple[Disks, dict[str, Any]]] = {
    "file system": (bare("signature /dev/vdb ext4"), {"wipe": ("/dev/vdb",)}),
    "partitions": (bare(*VDB_PART), {"wipe": ("/dev/vdb1", "/dev/vdb")}),
    "volume group": (bare(*FOREIGN), {"remove": ("data",), "wipe": ("/dev/vdb",)}),
    "group of the same name": (
        bare(*(line.replace("data|", "docker-vg|") for line in FOREIGN)),
        {"remove": ("docker-vg",), "wipe": ("/dev/vdb",)},
    ),
}


@pytest.mark.parametrize("case", WIPED)
def test_wiped_where_the_setting_says_so(case: str) -> None:
    disks, wanted = WIPED[case]
    wiping = replace(DOCKER, wipe=True)
    assert _problems(disks, wiping) == []
    assert storage.work(wiping, disks) == replace(NEW, **wanted)


def test_our_own_disks_are_not_wiped() -> None:
    assert storage.work(replace(DOCKER, wipe=True), made()) == Work()


# --- RHEL 7 ---


def test_group_of_a_killed_command_is_recognized_by_its_file() -> None:
    untagged = made("vg docker-vg||3217031168|0|4194304|0", without=("vg docker-vg",))
    found = list(storage_problems.problems(NAME, RHEL_7, untagged, [DOCKER]))
    assert any("not made by Quaylab" in problem for problem in found)
    file = storage.setup_file(DOCKER, untagged, ["/dev/vdb"])
    with_file = replace(untagged, setup=file)
    assert list(storage_problems.problems(NAME, RHEL_7, with_file, [DOCKER])) == []
    assert storage.work(DOCKER, with_file) == Work(tag=True)


def test_partition_that_the_command_made_counts_as_the_disk() -> None:
    disks = made(
        disk("vdb1", "vdb"),
        "pv /dev/vdb1|docker-vg|used|3217031168",
        without=("pv /dev/vdb|",),
    )
    assert list(storage_problems.problems(NAME, RHEL_7, disks, [DOCKER])) == []
    assert storage.work(DOCKER, disks) == Work()


def test_setup_file() -> None:
    assert storage.setup_file(DOCKER, bare(), ["/dev/vdb"]).splitlines() == [
        'DEVS="/dev/vdb"',
        "VG=docker-vg",
        "STORAGE_DRIVER=overlay2",
        "CONTAINER_ROOT_LV_NAME=docker",
        "CONTAINER_ROOT_LV_SIZE=100%FREE",
        "CONTAINER_ROOT_LV_MOUNT_PATH=/var/lib/docker",
    ]


# --- the engine's settings ---


@pytest.mark.parametrize("text", ["", "{}", '{"data-root": "/srv", "storage-driver": "vfs"}'])
def test_driver_is_merged(text: str) -> None:
    merged = daemon_settings.with_driver(text)
    assert merged
    before = json.loads(text or "{}")
    assert json.loads(merged) == {**before, "storage-driver": "overlay2"}
    assert daemon_settings.with_driver(merged) is None


# --- the settings ---


def test_disks_for_docker_and_quay() -> None:
    of_host = host_settings(
        host(
            NAME,
            docker_storage={"devices": ["/dev/vdb"], "volume_group": "docker-vg"},
            quay_storage={"devices": ["/dev/vdc"]},
        )
    )
    run_wide = storage.with_quay_storage_path(settings(), [of_host])
    assert run_wide.quay_storage_path == "/srv/quay-storage"
    docker, quay = storage.storages_of(of_host, run_wide, is_quay_host=True)
    assert docker == DOCKER
    assert quay == replace(QUAY, devices=("/dev/vdc",))
    assert storage.storages_of(of_host, run_wide, is_quay_host=False) == (DOCKER,)


def test_a_path_from_the_settings() -> None:
    of_host = host_settings(host(NAME, quay_storage={"devices": ["/dev/vdc"]}))
    run_wide = storage.with_quay_storage_path(settings(quay_storage_path="/srv/blobs"), [of_host])
    (quay,) = storage.storages_of(of_host, run_wide, is_quay_host=True)
    assert quay.path == "/srv/blobs"


def test_without_disks_nothing_changes() -> None:
    of_host = host_settings(host(NAME))
    assert HOST_DEFAULTS["docker_storage"] is None
    assert storage.with_quay_storage_path(settings(), [of_host]).quay_storage_path is None
    assert storage.storages_of(of_host, settings(), is_quay_host=True) == ()


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (bare, {"/": 500, "/var/lib/docker": 3072, "/srv/quay-storage": 3072}),
        (made, {"/": 500}),
    ],
    ids=["before", "mounted"],
)
def test_free_space_after_the_mounts(read: Callable[[], Disks], expected: dict[str, int]) -> None:
    found = machine(free_mb={"/": 500})
    assert storage.free_mb(found, read(), [DOCKER, QUAY]) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "docker_storage.devices: not set"),
        ({"devices": []}, "docker_storage.devices: []: "),
        ({"devices": "/dev/vdb"}, "docker_storage.devices: '/dev/vdb': it should be a valid list"),
        ({"devices": ["vdb/"]}, "docker_storage.devices[0]: 'vdb/': does not have the right form"),
        ({"devices": ["-x"]}, "docker_storage.devices[0]: '-x': does not have the right form"),
        ({"devices": ["X"], "volume_group": "a/b"}, "docker_storage.volume_group: 'a/b': "),
        ({"devices": ["X"], "volume_group": "-a"}, "docker_storage.volume_group: '-a': "),
        ({"devices": ["X"], "wipe": "yes"}, "docker_storage.wipe: 'yes': it should be a valid "),
        ({"devices": ["X"], "vg": "a"}, "docker_storage.vg: no such key"),
    ],
)
def test_bad_values_are_reported_with_their_path(value: object, message: str) -> None:
    with pytest.raises(Refusal) as refused:
        load([host(NAME, docker_storage=value)])
    (problem,) = refused.value.problems
    assert problem.removeprefix(f"{NAME}: ").startswith(message)
