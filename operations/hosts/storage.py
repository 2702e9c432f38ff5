"""Storages: LVM joins disks to one xfs, mounted where the engine or Quay stores its data."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.files import Files
from facts.storage import Storage as StorageFact
from operations.hosts import files
from operations.runtime.commands import apt_install, fail, quoted, read_secret
from operations.runtime.observation import ask, ask_each
from quaylab.engines import daemon_settings
from quaylab.hosts import storage as storages
from quaylab.hosts import storage_problems
from quaylab.hosts.disks import Disks
from quaylab.hosts.machine import Machine
from quaylab.hosts.storage import OPTIONS, TAG, UNFORMATTED, Storage, Work
from quaylab.model import ManagedFile

SETUP = "/etc/sysconfig/docker-storage-setup"
DROP_IN = "/etc/systemd/system/docker.service.d/quaylab-storage.conf"
STOP = "systemctl stop docker.socket >/dev/null 2>&1; systemctl stop docker"


@operation()
def tools_installed(machine: Machine) -> Generator[StringCommand]:
    """Install the commands of LVM and xfs.

    + machine: the host
    """
    if ask(StorageFact, paths=[]).tools >= {"vgcreate", "mkfs.xfs"}:
        host.noop("lvm2 and xfsprogs are there")
    elif machine.debian_family:
        yield apt_install("lvm2 xfsprogs")
    else:
        manager = "yum" if machine.is_rhel_7 else "dnf"
        yield StringCommand(f"{manager} install --quiet --assumeyes lvm2 xfsprogs")


@operation()
def mounted(storage: Storage, machine: Machine) -> Generator[StringCommand]:
    """Put a storage's disks into its volume group, and mount all of it as one xfs.

    + storage: the disks, and where their file system is mounted
    + machine: the host

    **Example:**

    .. code:: python

        storage.mounted(
            name="Mount quay_storage",
            storage=plan.storages[host.name][0],
            machine=machine,
        )
    """
    disks = ask(StorageFact, paths=[storage.path] if storage.path else [])
    if problems := list(storage_problems.problems(host.name, machine, disks, [storage])):
        # The plan found no such problem: somebody has used the disk since.
        yield fail("\n".join(problems))
        return
    work = storages.work(storage, disks)
    point = storage.mount_point(disks)
    legacy = storage.path is None and machine.is_rhel_7
    setup = storages.setup_file(storage, disks) if legacy else disks.setup
    if work == Work() and disks.setup == setup:
        host.noop(f"{storage.volume_path} is mounted at {point}")
    for group in work.remove:
        yield StringCommand("vgremove --yes --force", QuoteString(group), ">/dev/null")
    for device in work.wipe:
        yield StringCommand("wipefs --all --force", QuoteString(device), ">/dev/null")
    if work.wipe:
        yield StringCommand("udevadm settle")
    if storage.path is None and work.mount and disks.running:
        yield StringCommand(STOP)
    if legacy and work.create:
        yield files.write(ManagedFile(SETUP, storages.setup_file(storage, disks, work.devices)))
        yield StringCommand(
            f"docker-storage-setup && vgchange --addtag {TAG}", storage.volume_group, ">/dev/null"
        )
    else:
        yield from _create_volume(storage, work)
    if work.fstab:
        yield _write_fstab(storage.volume_path, point)
    if work.mount:
        yield StringCommand(
            "mkdir -p", QuoteString(point), "&& { mountpoint -q", QuoteString(point), "|| mount",
            QuoteString(point), "; }",
        )  # fmt: skip
        if storage.path is not None and work.create:
            # A user of the host may have the container's uid, and shall not get to its data.
            yield StringCommand("chmod 0700", QuoteString(point))
        if storage.path is None:
            # The engine itself labels the directories of containers.
            yield StringCommand(
                "! command -v restorecon >/dev/null || restorecon -R", QuoteString(point)
            )
    if work.grow:
        yield StringCommand("xfs_growfs", QuoteString(point), ">/dev/null")
    if legacy and (work.create or disks.setup != setup):
        yield files.write(ManagedFile(SETUP, setup))


@operation()
def driver_set() -> Generator[StringCommand]:
    """Set overlay2 as the engine's storage driver in daemon.json; other keys stay as they are.

    An engine that runs with another driver is stopped, and started by the next operation.
    """
    disks: Disks = ask(StorageFact, paths=[])
    text = read_secret(host, daemon_settings.PATH) if disks.daemon else ""
    if text is None:
        yield fail(f"docker_storage: {daemon_settings.PATH} of {host.name} can't be read")
        return
    if reason := daemon_settings.driver_problem(text):
        yield fail(f"docker_storage: {daemon_settings.PATH} of {host.name} {reason}")
        return
    content = daemon_settings.with_driver(text)
    if content:
        # A proxy in it may have a password, so the file keeps its mode.
        found = ask_each(Files, [daemon_settings.PATH]).get(daemon_settings.PATH)
        mode = found.mode if found else 0o644
        yield files.write(ManagedFile(daemon_settings.PATH, content, mode=mode))
    if disks.driver not in ("", daemon_settings.DRIVER):
        yield StringCommand(
            f"if test -d /run/systemd/system; then {STOP}; else",
            fail("docker_storage: dockerd runs with another driver; stop it, and run again"),
            "; fi",
        )
    elif not content:
        host.noop(f"the engine's driver is {daemon_settings.DRIVER}")


@operation()
def engine_waits_for_mounts(
    wanted: tuple[Storage, ...], directories: tuple[str, ...]
) -> Generator[StringCommand]:
    """Let systemd start the engine only when its file systems are mounted.

    + wanted: the host's storages
    + directories: other directories of data; the engine waits for mounts of /etc/fstab there or
      above
    """
    disks = ask(StorageFact, paths=[]) if wanted else Disks()
    mounted = (storage.mount_point(disks) for storage in wanted)
    points = " ".join(dict.fromkeys([*mounted, *directories]))
    found = ask_each(Files, [DROP_IN]).get(DROP_IN)
    if not points:
        # It may have waited for a disk that is gone since.
        if found:
            yield StringCommand(f"rm -f {DROP_IN} && systemctl daemon-reload")
        else:
            host.noop("there is no disk to wait for")
        return
    file = ManagedFile(DROP_IN, f"[Unit]\nRequiresMountsFor={points}\n")
    if found and not found.differs(file):
        host.noop(f"the engine waits for {points}")
    else:
        yield files.write(file)
        yield StringCommand("systemctl daemon-reload")


def _create_volume(storage: Storage, work: Work) -> Generator[StringCommand]:
    """Create, or extend, volume group, logical volume and file system."""
    group = storage.volume_group
    if work.create:
        yield StringCommand(
            f"vgcreate --yes --addtag {TAG}", quoted(group, *work.devices), ">/dev/null"
        )
    elif work.devices:
        yield StringCommand("vgextend --yes", quoted(group, *work.devices), ">/dev/null")
    if work.tag:
        yield StringCommand(f"vgchange --addtag {TAG}", QuoteString(group), ">/dev/null")
    for device in work.resize:
        yield StringCommand("pvresize", QuoteString(device), ">/dev/null")
    if work.volume:
        yield StringCommand(
            f"lvcreate --yes --wipesignatures y --addtag {UNFORMATTED} --extents 100%FREE --name",
            quoted(storage.volume, group), ">/dev/null",
        )  # fmt: skip
    if work.format:
        # Without -f it refuses where there is a file system.
        yield StringCommand(
            f"mkfs.xfs -q {'-f ' if work.force else ''}-n ftype=1",
            QuoteString(storage.volume_path),
            f"&& udevadm settle && lvchange --deltag {UNFORMATTED}",
            QuoteString(f"{group}/{storage.volume}"), ">/dev/null",
        )  # fmt: skip
    if work.grow and not work.volume:
        yield StringCommand(
            'test "$(vgs --noheadings -o vg_free_count', QuoteString(group),
            '| tr -d " ")" = 0 || lvextend --extents +100%FREE',
            QuoteString(storage.volume_path), ">/dev/null",
        )  # fmt: skip


def _write_fstab(volume: str, point: str) -> StringCommand:
    """Return a command that writes the mount point's line in /etc/fstab. Without the disk, the
    host still boots and only its engine does not start."""
    return StringCommand(
        "uuid=$(blkid -s UUID -o value", QuoteString(volume), ') && test -n "$uuid" &&',
        "new=/etc/fstab.quaylab && touch /etc/fstab && cp --preserve=all /etc/fstab $new &&",
        "{ awk -v", QuoteString(f"point={point}"), "'$1 ~ /^#/ || $2 != point' /etc/fstab &&",
        'echo "UUID=$uuid"', QuoteString(f"{point} xfs {OPTIONS} 0 0"), "; } >$new &&",
        "mv -f $new /etc/fstab && if test -d /run/systemd/system; then systemctl daemon-reload; fi",
    )  # fmt: skip
