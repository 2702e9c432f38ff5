"""A host's disks for data: one volume group, mounted as planned, also after a reboot."""

from __future__ import annotations

from functools import cache

from facts.storage import Storage as StorageFact
from quaylab.engines.daemon_settings import DRIVER
from quaylab.hosts import storage as storages
from quaylab.hosts.disks import Disks
from quaylab.hosts.storage import OPTIONS, QUOTAS, TAG, Work
from tests.hosts.lab import Lab, Target
from tests.hosts.places import StoragePlace


@cache
def _read(target: Target, path: str | None) -> Disks:
    """Return a host's disks, read once, because no test changes them."""
    found: Disks = target.ask(StorageFact(), paths=[path] if path else [])
    return found


def _disks(place: StoragePlace) -> Disks:
    return _read(place.target, place.storage.path)


def test_nothing_is_left_to_do(storage: StoragePlace) -> None:
    disks = _disks(storage)
    assert storages.work(storage.storage, disks) == Work()


def test_its_volume_group_has_its_disks(storage: StoragePlace) -> None:
    disks = _disks(storage)
    group = disks.groups[storage.storage.volume_group]
    assert TAG in group.tags
    assert group.missing == 0
    named = {disks.find(name)[0].path for name in storage.storage.devices}
    assert len(disks.members(group.name)) == len(named)


def test_it_is_xfs_with_file_types_and_project_quotas(storage: StoragePlace) -> None:
    disks = _disks(storage)
    point = storage.storage.mount_point(disks)
    mount = disks.mount_at(point)
    assert mount is not None
    assert mount.filesystem == "xfs"
    assert QUOTAS in mount.options
    assert disks.xfs[point].ftype


def test_it_is_mounted_again_after_a_reboot(storage: StoragePlace) -> None:
    disks = _disks(storage)
    point = storage.storage.mount_point(disks)
    (line,) = [each for each in disks.fstab if each.target == point]
    assert line.source.startswith("UUID=")
    assert line.options == OPTIONS


def test_docker_starts_only_with_its_disks(docker_systemd_storage: StoragePlace) -> None:
    point = docker_systemd_storage.storage.mount_point(_disks(docker_systemd_storage))
    shell = docker_systemd_storage.target.shell
    shown = shell.run("systemctl show --property RequiresMountsFor docker")
    assert point in shown.stdout.strip().partition("=")[2].split()


def test_the_engine_keeps_images_there(docker_storage_host: Target, lab: Lab) -> None:
    info = docker_storage_host.docker.info()
    disks = _read(docker_storage_host, None)
    mount = disks.mount_at(disks.root)
    assert mount is not None
    assert info["Driver"] == DRIVER
    assert info["DockerRootDir"] == disks.root
    assert mount.filesystem == "xfs"
