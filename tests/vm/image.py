"""A cloud image for the VMs of this tier, made from Debian's packages alone.

Like Debian's own it has a kernel, cloud-init with NoCloud, a root partition that grows, and no user
but root. It also has what a VM without a container registry needs and what would take minutes to
install under emulation: Docker, which is not enabled, and images that it gets at its first start.

No loop device and no mount is needed: ``mke2fs -d`` fills the root file system, mtools the boot
partition, from which SYSLINUX starts the kernel.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.machine.machines import LABEL, apt_sources, building, run
from tests.machine.stock import load

SOURCE = Path(__file__).parent / "image"
CACHE = Path("/var/cache/quaylab-test")
PACKAGES = (
    "apparmor,ca-certificates,cloud-guest-utils,cloud-init,dbus,docker-cli,docker.io,fdisk,"
    "initramfs-tools,iproute2,iputils-ping,kmod,less,libpam-systemd,linux-image-cloud-amd64,lvm2,"
    "netbase,netplan.io,openssh-server,procps,python3,qemu-guest-agent,sudo,systemd,"
    "systemd-resolved,systemd-sysv,tzdata,udev,xfsprogs"
)
MASTER_BOOT_CODE = Path("/usr/lib/SYSLINUX/gptmbr.bin")  # of the package syslinux

MIB = 1 << 20
SIZE = 4096  # in MiB, as the next two
BOOT_START, BOOT_SIZE = 1, 95
ROOT_START = BOOT_START + BOOT_SIZE
ROOT_SIZE = SIZE - ROOT_START - 1  # the last MiB has the partition table's copy
PARTITIONS = f"""label: gpt
start={BOOT_START}MiB, size={BOOT_SIZE}MiB, type=uefi, attrs=LegacyBIOSBootable, name=boot
start={ROOT_START}MiB, size={ROOT_SIZE}MiB, type=linux, name=root
"""


def build(references: Iterable[str]) -> Path:
    """Return the image's file, a qcow2; build it unless the cache has one of the same sources.

    + references: images of the CI machine's engine that Docker in the VM gets
    """
    wanted = sorted(references)
    sources = apt_sources()
    recipe = [Path(__file__), *sources, *sorted(SOURCE.iterdir())]
    digest = hashlib.sha256(" ".join(wanted).encode())
    for path in recipe:
        digest.update(path.read_bytes())
    image = CACHE / f"{digest.hexdigest()[:12]}.qcow2"
    with building(f"{LABEL}-vm"):
        if image.exists():
            return image
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as folder:
            _build(Path(folder), wanted, sources)
            for outdated in CACHE.glob("*.qcow2"):
                outdated.unlink()
            (Path(folder) / "disk.qcow2").rename(image)
    return image


def _build(work: Path, references: list[str], sources: list[Path]) -> None:
    root, engine = work / "root", work / "engine"
    # In the VM, loading them would take minutes; copying takes seconds.
    engine.mkdir()
    load(engine, references)
    run(
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"),
        *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("doc", "locale", "man")),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        # Before the kernel's installation, which makes its initial RAM disk.
        f'--essential-hook={SOURCE}/before-packages "$1"',
        f'--customize-hook={SOURCE}/after-packages "$1" {engine}',
        *("trixie", str(root), *map(str, sources)),
    )
    disk = work / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(SIZE * MIB)
    run("sfdisk", "--quiet", str(disk), input=PARTITIONS)
    _fill_boot(disk, root)
    _make_bootable(disk)
    run(
        *("mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(root)),
        *("-E", f"offset={ROOT_START * MIB}", str(disk), f"{ROOT_SIZE}M"),
    )
    run(*f"qemu-img convert -O qcow2 {disk} {work}/disk.qcow2".split())


def _fill_boot(disk: Path, root: Path) -> None:
    """Copy the kernel and its boot loader to the boot partition."""
    partition = f"{disk}@@{BOOT_START * MIB}"
    run("mformat", "-i", partition, "-F", "-T", str(BOOT_SIZE * MIB // 512), "::")
    for kind in ("vmlinuz", "initrd.img"):
        (file,) = (root / "boot").glob(f"{kind}-*")
        run("mcopy", "-i", partition, str(file), f"::/{kind}")
    run("mcopy", "-i", partition, str(SOURCE / "syslinux.cfg"), "::/syslinux.cfg")
    run("syslinux", "--install", "--offset", str(BOOT_START * MIB), str(disk))


def _make_bootable(disk: Path) -> None:
    """Write the boot code that the BIOS starts; it looks for the partition with the kernel."""
    with disk.open("r+b") as file:
        file.write(MASTER_BOOT_CODE.read_bytes())
