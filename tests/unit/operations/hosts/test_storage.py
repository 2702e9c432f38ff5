"""Storages: each command only where it is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facts.files import Files
from facts.storage import Storage as StorageFact
from operations.hosts import files, storage
from quaylab.engines import daemon_settings
from quaylab.hosts import storage as storages
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.model import FileState, ManagedFile
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.quaylab.hosts.test_storage import DOCKER, FOREIGN, NAME, QUAY, RHEL_7
from tests.unit.recorded_disks import bare, made
from tests.unit.samples import machine
from tests.unit.shell import Shell


def _mounted(disks: Disks, found: Machine | None = None, **changes: Any) -> list[str]:
    host = FakeHost({StorageFact: disks}, NAME)
    wanted = replace(DOCKER, **changes)
    return host.shell(storage.mounted, storage=wanted, machine=found or machine())


def test_a_new_disk() -> None:
    group, volume, format_, fstab, mount, label = _mounted(bare())
    assert group == "vgcreate --yes --addtag quaylab docker-vg /dev/vdb >/dev/null"
    assert "--addtag quaylab.unformatted --extents 100%FREE --name docker docker-vg" in volume
    assert format_.startswith("mkfs.xfs -q -f -n ftype=1 /dev/docker-vg/docker && ")
    # Without this tag it counts as formatted.
    assert format_.endswith("--deltag quaylab.unformatted docker-vg/docker >/dev/null")
    assert "/var/lib/docker xfs defaults,pquota,nofail 0 0" in fstab
    assert mount.startswith("mkdir -p /var/lib/docker && { mountpoint -q /var/lib/docker || mount")
    assert "restorecon -R /var/lib/docker" in label


def test_existing_storage_is_left_alone() -> None:
    host = FakeHost({StorageFact: made()}, NAME)
    for each, path in ((DOCKER, "/var/lib/docker"), (QUAY, "/srv/quay-storage")):
        assert host.shell(storage.mounted, storage=each, machine=machine()) == []
        assert host.noops[-1] == f"{each.volume_path} is mounted at {path}"


def test_another_disk_extends_group_volume_and_file_system() -> None:
    extend, volume, grow = _mounted(made(), devices=("DOCKER", "SPARE1"))
    assert extend == "vgextend --yes docker-vg /dev/vdd >/dev/null"
    assert "lvextend --extents +100%FREE /dev/docker-vg/docker" in volume
    assert grow == "xfs_growfs /var/lib/docker >/dev/null"


def test_a_disk_is_wiped_first_if_wipe_is_set() -> None:
    remove, wipe, settle, group, *_ = _mounted(bare(*FOREIGN), wipe=True)
    assert remove == "vgremove --yes --force data >/dev/null"
    assert wipe == "wipefs --all --force /dev/vdb >/dev/null"
    assert settle == "udevadm settle"
    assert group.startswith("vgcreate")


def test_a_disk_that_is_in_use_since_the_plan_is_not_touched(shell: Shell) -> None:
    (command,) = _mounted(bare("signature /dev/vdb ext4"))
    done = shell.run(command)
    assert done.returncode == 1
    assert done.stderr.startswith("docker_storage.devices: /dev/vdb of quay.example.com holds")


def test_an_idle_engine_is_stopped_before_its_root_is_mounted() -> None:
    commands = _mounted(bare("running"))
    assert commands[0] == storage.STOP
    assert commands[1].startswith("vgcreate")


def test_quays_directory_gets_its_selinux_labels_from_the_engine() -> None:
    host = FakeHost({StorageFact: bare("running")}, NAME)
    commands = host.shell(storage.mounted, storage=QUAY, machine=machine())
    assert not any("restorecon" in each or each == storage.STOP for each in commands)
    assert commands[0] == "vgcreate --yes --addtag quaylab quay-vg /dev/vdc >/dev/null"
    # A user of the host may have the uid to which the blobs belong.
    assert f"chmod 0700 {QUAY.path}" in commands


def test_the_mode_of_quays_directory_stays() -> None:
    """Whoever mounts a file system that is there may have changed it."""
    host = FakeHost({StorageFact: made("running")}, NAME)
    commands = host.shell(storage.mounted, storage=QUAY, machine=machine())
    assert not any("chmod" in each for each in commands)


# --- RHEL 7 ---


def test_rhel_7_uses_docker_storage_setup() -> None:
    host = FakeHost({StorageFact: bare()}, NAME)
    commands = host.operate(storage.mounted, storage=DOCKER, machine=RHEL_7)
    before, run, fstab, mount, _, after = commands
    assert storage.SETUP in text(before)
    assert "docker-storage-setup && vgchange --addtag quaylab docker-vg" in text(run)
    assert "blkid" in text(fstab)
    assert "mount" in text(mount)
    # The engine's unit runs the command at each start; then it must find no disks to set up.
    assert storage.SETUP in text(after)
    assert stdin(before) != stdin(after)


def test_docker_storage_setup_runs_only_without_its_volume_group() -> None:
    disks = replace(made(), setup=storages.setup_file(DOCKER, made()))
    assert _mounted(disks, RHEL_7) == []
    commands = _mounted(disks, RHEL_7, devices=("DOCKER", "SPARE1"))
    assert commands[0].startswith("vgextend")
    assert not any("docker-storage-setup &&" in each for each in commands)


# --- tools ---


@pytest.mark.parametrize(
    ("found", "command"),
    [
        (machine(), "apt-get install"),
        (RHEL_7, "yum install"),
        (machine(os_id="rhel", os_version="9.4"), "dnf install"),
    ],
    ids=["debian", "rhel-7", "rhel-9"],
)
def test_tools_are_installed_where_one_is_missing(found: Machine, command: str) -> None:
    host = FakeHost({StorageFact: bare(without=("tool mkfs.xfs",))})
    (install,) = host.shell(storage.tools_installed, machine=found)
    assert command in install
    assert "lvm2 xfsprogs" in install
    there = FakeHost({StorageFact: bare()})
    assert there.shell(storage.tools_installed, machine=found) == []
    assert there.noops


# --- /etc/fstab ---


@pytest.mark.parametrize(
    ("before", "others"),
    [
        ("", ""),
        ("/dev/vda / ext4 defaults 0 1\n", "/dev/vda / ext4 defaults 0 1\n"),
        ("# /var/lib/docker was here\n", "# /var/lib/docker was here\n"),
        ("UUID=old /var/lib/docker xfs defaults 0 0\n", ""),
        ("UUID=old /var/lib/docker2 xfs defaults 0 0\n",) * 2,
    ],
    ids=["empty", "others", "comment", "own", "similar"],
)
def test_fstab(shell: Shell, tmp_path: Path, before: str, others: str) -> None:
    shell.stub("blkid", "echo e617050f")
    shell.stub("systemctl", ":")
    fstab = tmp_path / "fstab"
    fstab.write_text(before)
    (command,) = [each for each in _mounted(bare()) if "blkid" in each]
    done = shell.run(command.replace("/etc/fstab", str(fstab)))
    assert done.returncode == 0, done.stderr
    line = "UUID=e617050f /var/lib/docker xfs defaults,pquota,nofail 0 0\n"
    assert fstab.read_text() == others + line


def test_fstab_is_not_changed_if_the_file_system_has_no_uuid(shell: Shell, tmp_path: Path) -> None:
    shell.stub("blkid", ":")
    fstab = tmp_path / "fstab"
    (command,) = [each for each in _mounted(bare()) if "blkid" in each]
    assert shell.run(command.replace("/etc/fstab", str(fstab))).returncode != 0
    assert not fstab.exists()


# --- the engine ---


def _driver(disks: Disks, daemon: str = "") -> tuple[FakeHost, list[Any]]:
    private = {daemon_settings.PATH: FileState(0, 0, 0o600, "")}
    host = FakeHost({StorageFact: disks, Files: private}, NAME)
    host.shell_output = (True, daemon.splitlines())
    return host, host.operate(storage.driver_set)


def test_driver_is_merged_into_existing_settings() -> None:
    before = '{\n  "log-driver": "journald"\n}'
    _, (write,) = _driver(bare('daemon {   "log-driver": "journald" }'), before)
    assert f"chmod 0600 {daemon_settings.PATH}" in text(write)
    content = daemon_settings.with_driver(before)
    assert content
    assert json.loads(content) == {"log-driver": "journald", "storage-driver": "overlay2"}
    assert stdin(write) == files.encoded(content.encode())


def test_a_driver_that_is_set_is_left_alone() -> None:
    host, commands = _driver(made("driver overlay2"), '{"storage-driver": "overlay2"}')
    assert commands == []
    assert host.noops == ["the engine's driver is overlay2"]


def test_engine_with_another_driver_is_stopped(shell: Shell) -> None:
    _, (stop,) = _driver(made("driver vfs"), '{"storage-driver": "overlay2"}')
    assert storage.STOP in text(stop)
    if not Path("/run/systemd/system").is_dir():
        assert "dockerd runs with another driver" in shell.run(text(stop)).stderr


def test_settings_that_were_damaged_since_the_plan(shell: Shell) -> None:
    _, (command,) = _driver(bare("daemon {"), "{")
    assert "is not valid JSON" in shell.run(text(command)).stderr


def test_engine_waits_for_its_disks() -> None:
    file = ManagedFile(
        storage.DROP_IN, "[Unit]\nRequiresMountsFor=/var/lib/docker /srv/quay-storage\n"
    )
    facts: dict[Any, Any] = {StorageFact: made()}
    arguments: dict[str, Any] = {
        "wanted": (DOCKER, QUAY),
        "directories": ("/srv/quay-storage",),
    }
    write, reload_ = FakeHost(facts).operate(storage.engine_waits_for_mounts, **arguments)
    assert stdin(write) == files.encoded(file.content.encode())
    assert text(reload_) == "systemctl daemon-reload"
    facts[Files] = {file.path: FileState(0, 0, 0o644, file.sha256)}
    host = FakeHost(facts)
    assert host.shell(storage.engine_waits_for_mounts, **arguments) == []
    assert host.noops == ["the engine waits for /var/lib/docker /srv/quay-storage"]


def test_an_engine_without_disks_waits_for_none() -> None:
    """It may have waited for one that was taken out of the settings, and then out of the host."""
    facts: dict[Any, Any] = {Files: {storage.DROP_IN: FileState(0, 0, 0o644, "")}}
    arguments: dict[str, Any] = {"wanted": (), "directories": ()}
    (command,) = FakeHost(facts).shell(storage.engine_waits_for_mounts, **arguments)
    assert command == f"rm -f {storage.DROP_IN} && systemctl daemon-reload"
    assert FakeHost().shell(storage.engine_waits_for_mounts, **arguments) == []


def test_the_engine_waits_for_a_disk_that_somebody_else_mounts() -> None:
    host = FakeHost()
    write, _ = host.operate(
        storage.engine_waits_for_mounts, wanted=(), directories=("/srv/db", "/srv/blobs")
    )
    content = b"[Unit]\nRequiresMountsFor=/srv/db /srv/blobs\n"
    assert stdin(write) == files.encoded(content)
