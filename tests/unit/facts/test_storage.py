"""Disks, LVM, mounts and the engine's root."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.storage import COMMAND, Storage
from quaylab.hosts.disks import FstabLine, PhysicalVolume, XfsState
from tests.unit.recorded_disks import bare, disk, made
from tests.unit.shell import Shell


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/dev/vdb", "/dev/vdb"),
        ("DOCKER", "/dev/vdb"),
        ("SPARE1", "/dev/vdd"),
        ("/dev/disk/by-id/virtio-QUAY", "/dev/vdc"),
        ("/dev/disk/by-path/pci-0000:00:06.0", "/dev/vdd"),
    ],
    ids=["path", "serial", "serial by sysfs alone", "by-id", "by-path"],
)
def test_names_of_a_disk(name: str, path: str) -> None:
    assert [each.path for each in bare().find(name)] == [path]


@pytest.mark.parametrize("name", ["/dev/vdz", "docker", "", "/dev/disk/by-id/virtio-OTHER"])
def test_names_that_no_disk_has(name: str) -> None:
    assert bare().find(name or "NONE") == []


def test_recorded_storages() -> None:
    found = made()
    assert found.physical["/dev/vdb"] == PhysicalVolume("/dev/vdb", "docker-vg", True, 3217031168)
    group = found.groups["docker-vg"]
    assert group.tags == {"quaylab"}
    assert (group.free, group.extent, group.missing) == (0, 4194304, 0)
    volume = found.volume("quay-vg", "quay")
    assert volume
    assert volume.device == "/dev/dm-1"
    mount = found.mount_at("/srv/quay-storage")
    assert mount
    assert (mount.device, mount.filesystem) == ("/dev/dm-1", "xfs")
    assert "prjquota" in mount.options
    assert found.xfs["/var/lib/docker"] == XfsState(3217031168, True)
    assert FstabLine("/dev/vda", "/", "defaults") in found.fstab
    assert found.root == "/var/lib/docker"
    assert found.tools == {"vgcreate", "mkfs.xfs"}


def test_volume_over_two_disks_lies_on_both() -> None:
    found = made(disk("dm-0", "vdd", kind="lvm"))
    for path in ("/dev/vdb", "/dev/vdd"):
        assert [each.path for each in found.pieces(path)] == ["/dev/dm-0"]


def test_other_output_is_an_error() -> None:
    with pytest.raises(FactProcessError, match="the disks' report can't be read"):
        Storage().process(["disk nonsense"])


# --- the command ---


def _stubbed(shell: Shell) -> None:
    shell.stub("lsblk", "case $* in *--raw*) echo 'vdb disk' ;; *) ;; esac")
    for name in ("docker", "lvs", "pvs", "vgs"):
        shell.stub(name, "exit 1")


def test_command_reads_lvm_and_signatures(shell: Shell) -> None:
    _stubbed(shell)
    line = disk("vdb", kind="disk").removeprefix("disk ")
    shell.stub("lsblk", f"case $* in *--raw*) echo 'vdb disk' ;; *) echo '{line}' ;; esac")
    shell.stub("wipefs", "echo '# offset,uuid,label,type'; echo '0x438,dd2a1b08-0c6b,,ext4'")
    shell.stub("pvs", "echo '  /dev/vdb|docker-vg|used|1'")
    shell.stub("vgs", "echo '  docker-vg|a,quaylab|3|2|1|0'")
    shell.stub("lvs", "echo '  docker-vg|docker|1|'")
    found = Storage().process(shell.lines(Storage().command(paths=["/nowhere"])))
    assert found.devices["/dev/vdb"].signatures == ("ext4",)
    assert found.physical["/dev/vdb"].group == "docker-vg"
    assert found.groups["docker-vg"].tags == {"a", "quaylab"}
    assert found.volume("docker-vg", "docker")
    assert found.mounts
    assert "/nowhere" not in found.occupied


def test_lines_of_fstab_that_libmount_reads_too(shell: Shell, tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text(
        "# all\nsshfs#user@host:/x /mnt fuse ro 0 0\n/dev/vdb /data\n/dev/vdc /more xfs\nalone\n"
    )
    _stubbed(shell)
    command = Storage().command(paths=[]).get_raw_value().replace("/etc/fstab", str(fstab))
    assert Storage().process(shell.lines(command)).fstab == (
        FstabLine("sshfs#user@host:/x", "/mnt", "ro"),
        FstabLine("/dev/vdb", "/data", "defaults"),
        FstabLine("/dev/vdc", "/more", "defaults"),
    )


def test_mounts_of_what_is_no_device(shell: Shell) -> None:
    """One at the place of a disk hides it."""
    _stubbed(shell)
    found = Storage().process(shell.lines(Storage().command(paths=[])))
    proc = found.mount_at("/proc")
    assert proc and proc.filesystem == "proc"


ENGINES = {
    "none": ([], False),
    "new": (["overlay2/l/", "volumes/metadata.db", "containers/", "plugins/tmp/x/"], False),
    "container": (["containers/c0ffee/config.v2.json"], True),
    "image": (["image/overlay2/imagedb/content/sha256/c0ffee"], True),
    "volume": (["volumes/kept/_data/"], True),
    "swarm": (["swarm/state.json"], True),
    "plugin": (["plugins/c0ffee/config.json"], True),
    "not an engine's": (["photos/cat.jpg"], True),
}


@pytest.mark.parametrize("case", ENGINES)
def test_data_of_an_engine(shell: Shell, tmp_path: Path, case: str) -> None:
    paths, is_data = ENGINES[case]
    _stubbed(shell)
    root = tmp_path / "docker"
    for each in paths:
        path = root / each
        (path if each.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not each.endswith("/"):
            path.touch()
    command = COMMAND.replace("/var/lib/docker", str(root))
    found = Storage().process(shell.lines(f"{command} :"))
    assert bool(found.data) is is_data, found.data
    assert found.root == str(root)


def test_engine_settings_name_the_root_and_hide_a_password(shell: Shell, tmp_path: Path) -> None:
    _stubbed(shell)
    daemon = tmp_path / "daemon.json"
    daemon.write_text(
        '{\n  "data-root": "/srv/docker",\n'
        '  "proxies": {"http-proxy": "http://me:hunter2@proxy:3128"}\n}\n'
    )
    command = COMMAND.replace("/etc/docker/daemon.json", str(daemon))
    lines = shell.lines(f"{command} :")
    assert "hunter2" not in "".join(lines)
    found = Storage().process(lines)
    assert found.root == "/srv/docker"
    assert '"http-proxy": "http://proxy:3128"' in found.daemon


def test_images_in_containerds_store_are_data(shell: Shell, tmp_path: Path) -> None:
    _stubbed(shell)
    shell.stub(
        "docker",
        f'case "$*" in *RootDir*) echo {tmp_path} ;; *Driver*) echo driver overlayfs ;; '
        "*) echo 03 ;; esac",
    )
    found = Storage().process(shell.lines(f"{COMMAND} :"))
    assert (found.driver, found.data) == ("overlayfs", "its images and containers")
