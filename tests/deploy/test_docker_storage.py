"""tasks/docker_storage.py on Debian and on RHEL 7: it runs before the engine; what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.project import Project, Result, fake, report
from tests.unit.recorded_disks import BARE, MADE

TASK = "tasks/docker_storage.py"
DISKS: dict[str, Any] = {
    "docker_storage": {"devices": ["/dev/vdb"], "volume_group": "docker-vg"},
    "quay_storage": {"devices": ["/dev/vdc"]},
}
DOCKER = {"docker_storage": DISKS["docker_storage"]}
RHEL_7 = "rhel|7.9|fedora"


def _run(
    project: Project, data: dict[str, Any], disks: str = BARE, task: str = TASK, **changes: str
) -> Result:
    data = {"minimum_disk_mb": 1024, **data}
    one = [fake("quay", report(**changes), responses={"lsblk": disks.splitlines()}, **data)]
    inventory = project.inventory(quay=one, database=one, redis=one)
    return project.run("-y", "-vv", inventory, task)


def _first(commands: list[str], part: str) -> int:
    return next(at for at, command in enumerate(commands) if part in command)


def test_disks_for_docker_and_quay_on_debian(project: Project) -> None:
    result = _run(project, DISKS)
    assert result.code == 0, result.output
    commands = result.commands("quay")
    order = [
        "vgcreate --yes --addtag quaylab docker-vg /dev/vdb",
        "lvcreate",
        "mkfs.xfs",
        "UUID=",
        "mount /var/lib/docker",
        "/etc/docker/daemon.json",
        "vgcreate --yes --addtag quaylab quay-vg /dev/vdc",
        "mount /srv/quay-storage",
        "quaylab-storage.conf",
    ]
    assert [_first(commands, part) for part in order] == sorted(
        _first(commands, part) for part in order
    )
    assert not any("docker-storage-setup" in command for command in commands)


def test_rhel_7_uses_docker_storage_setup(project: Project) -> None:
    result = _run(project, DOCKER, os=RHEL_7)
    assert result.code == 0, result.output
    commands = result.commands("quay")
    assert _first(commands, "yum install --quiet --assumeyes docker") < _first(
        commands, "docker-storage-setup && vgchange --addtag quaylab docker-vg"
    )
    # The command sets the driver itself; dockerd refuses one that is set in both places.
    assert not any("daemon.json" in command for command in commands)
    assert not any("vgcreate" in command or "lvcreate" in command for command in commands)


def test_the_engine_starts_after_the_mounts(project: Project) -> None:
    result = _run(project, DISKS, task="deploy.py")
    names = result.operations
    assert names.index("Mount Quay's storage") < names.index("Install the container engine")
    assert names.index("Install the container engine") < names.index("Start the container engine")


def test_quays_volume_is_on_its_disk(project: Project) -> None:
    result = _run(project, DISKS, task="deploy.py")
    made = [each for each in result.commands("quay") if "docker volume create" in each]
    assert any("--opt=device=/srv/quay-storage" in command for command in made)


def test_the_engine_waits_for_directories_of_data(project: Project) -> None:
    result = _run(project, {"database_data": "/srv/db"})
    assert result.code == 0, result.output
    assert any("quaylab-storage.conf" in command for command in result.commands("quay"))


def test_without_disks_nothing_is_done(project: Project) -> None:
    result = _run(project, {})
    assert result.code == 0, result.output
    assert result.operations == ["Save the credentials", "Make the engine wait for its disks"]
    assert result.commands("quay") == []


REFUSED = {
    "a file system": (
        DISKS,
        f"{BARE}signature /dev/vdb ext4",
        ["docker_storage.devices: /dev/vdb of @fake/quay holds a signature of ext4"],
    ),
    "one disk twice": (
        {**DOCKER, "quay_storage": {"devices": ["DOCKER"]}},
        BARE,
        ["quay_storage.devices: DOCKER is the disk that docker_storage.devices names as /dev/vdb"],
    ),
    "several": (
        {**DOCKER, "quay_storage": {"devices": ["NOPE"]}},
        f"{BARE}data /var/lib/docker/volumes/kept\ndaemon {{",
        [
            "quay_storage.devices: NOPE is not a disk of @fake/quay",
            "docker_storage: the engine of @fake/quay has data already",
            "docker_storage: /etc/docker/daemon.json of @fake/quay is not valid JSON",
        ],
    ),
    "a disk left out": (
        DISKS,
        f"{BARE}{MADE}pv /dev/vdd|docker-vg|used|3217031168",
        ["docker_storage.devices: /dev/vdd of @fake/quay is a part of docker-vg"],
    ),
    "too small": (
        {**DISKS, "minimum_disk_mb": 4096},
        BARE,
        [
            "minimum_disk_mb: @fake/quay has 3072 MB free on /var/lib/docker",
            "minimum_disk_mb: @fake/quay has 3072 MB free on /srv/quay-storage",
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_at_once_and_before_anything_is_changed(project: Project, case: str) -> None:
    data, disks, expected = REFUSED[case]
    result = _run(project, data, disks)
    assert result.code == 1
    problems = [line[4:] for line in result.output.splitlines() if line.startswith("  - ")]
    assert len(problems) == len(expected), result.output
    assert all(
        problem.startswith(message)
        for problem, message in zip(sorted(problems), sorted(expected), strict=True)
    )
    assert "Traceback" not in result.output
    assert result.operations == []
    assert result.commands("quay") == []


def test_a_bad_value_is_reported_with_its_path(project: Project) -> None:
    result = _run(project, {"docker_storage": {"devices": ["/dev/vdb", "a b"], "size": 1}})
    assert result.code == 1
    assert "docker_storage.devices[1]: 'a b'" in result.output
    assert "docker_storage.size: no such key" in result.output
