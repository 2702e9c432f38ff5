"""Output that facts/storage.py reads, recorded in a virtual machine (Debian 13, virtio disks of
3 GiB with serial numbers) before and after its disks became storages."""

from __future__ import annotations

from facts.storage import Storage
from quaylab.hosts.disks import Disks

BARE = """\
disk KNAME="sr0" PKNAME="" TYPE="rom" SIZE="1073741312" FSTYPE="" MOUNTPOINT="" SERIAL="QM00003" UUID=""
disk KNAME="vda" PKNAME="" TYPE="disk" SIZE="3221225472" FSTYPE="ext4" MOUNTPOINT="/" SERIAL="" UUID="32abaa25-31ba-4829-b113-8f443bc835f9"
disk KNAME="vdb" PKNAME="" TYPE="disk" SIZE="3221225472" FSTYPE="" MOUNTPOINT="" SERIAL="DOCKER" UUID=""
disk KNAME="vdc" PKNAME="" TYPE="disk" SIZE="3221225472" FSTYPE="" MOUNTPOINT="" SERIAL="QUAY" UUID=""
disk KNAME="vdd" PKNAME="" TYPE="disk" SIZE="3221225472" FSTYPE="" MOUNTPOINT="" SERIAL="" UUID=""
signature /dev/vda ext4
serial /dev/vda
serial /dev/vdb DOCKER
serial /dev/vdc QUAY
serial /dev/vdd SPARE1
name /dev/disk/by-id/virtio-SPARE1 /dev/vdd
name /dev/disk/by-id/virtio-QUAY /dev/vdc
name /dev/disk/by-id/virtio-DOCKER /dev/vdb
name /dev/disk/by-path/pci-0000:00:06.0 /dev/vdd
mount /dev/vda / ext4 rw,relatime
fstab /dev/vda / ext4 defaults 0 1
tool vgcreate
tool mkfs.xfs
root /var/lib/docker
"""  # noqa: E501

# Replaces some lines of BARE.
MADE = """\
disk KNAME="vdb" PKNAME="" TYPE="disk" SIZE="3221225472" FSTYPE="LVM2_member" MOUNTPOINT="" SERIAL="DOCKER" UUID="BA6PRl-y4qk-rBMj-Zc5l-tDkl-osph-mp4O7J"
disk KNAME="dm-0" PKNAME="vdb" TYPE="lvm" SIZE="3217031168" FSTYPE="xfs" MOUNTPOINT="/var/lib/docker" SERIAL="" UUID="e617050f-5521-41e0-a969-ef778f9cbbb4"
disk KNAME="vdc" PKNAME="" TYPE="disk" SIZE="3221225472" FSTYPE="LVM2_member" MOUNTPOINT="" SERIAL="QUAY" UUID="20TOhK-xZrg-iTfS-ZZts-ZT2Q-LzYu-dfu48f"
disk KNAME="dm-1" PKNAME="vdc" TYPE="lvm" SIZE="3217031168" FSTYPE="xfs" MOUNTPOINT="/srv/quay-storage" SERIAL="" UUID="5e27075d-e277-4eb1-8428-82206a926558"
signature /dev/vdb LVM2_member
signature /dev/vdc LVM2_member
name /dev/disk/by-id/lvm-pv-uuid-20TOhK-xZrg-iTfS-ZZts-ZT2Q-LzYu-dfu48f /dev/vdc
name /dev/mapper/quay--vg-quay /dev/dm-1
name /dev/mapper/docker--vg-docker /dev/dm-0
pv /dev/vdb|docker-vg|used|3217031168
pv /dev/vdc|quay-vg|used|3217031168
vg docker-vg|quaylab|3217031168|0|4194304|0
vg quay-vg|quaylab|3217031168|0|4194304|0
lv docker-vg|docker|3217031168|
lv quay-vg|quay|3217031168|
mount /dev/dm-0 /var/lib/docker xfs rw,relatime,attr2,inode64,logbufs=8,logbsize=32k,prjquota
mount /dev/dm-1 /srv/quay-storage xfs rw,relatime,attr2,inode64,logbufs=8,logbsize=32k,prjquota
fstab UUID=e617050f-5521-41e0-a969-ef778f9cbbb4 /var/lib/docker xfs defaults,pquota,nofail 0 0
fstab UUID=5e27075d-e277-4eb1-8428-82206a926558 /srv/quay-storage xfs defaults,pquota,nofail 0 0
daemon {   "storage-driver": "overlay2" }
xfs /var/lib/docker meta-data=/dev/mapper/docker--vg-docker isize=512    agcount=4, agsize=196352 blks
xfs /var/lib/docker          =                       sectsz=512   attr=2, projid32bit=1
xfs /var/lib/docker data     =                       bsize=4096   blocks=785408, imaxpct=25
xfs /var/lib/docker naming   =version 2              bsize=4096   ascii-ci=0, ftype=1, parent=0
xfs /srv/quay-storage data     =                       bsize=4096   blocks=785408, imaxpct=25
xfs /srv/quay-storage naming   =version 2              bsize=4096   ascii-ci=0, ftype=1, parent=0
"""  # noqa: E501


def bare(*more: str, without: tuple[str, ...] = ()) -> Disks:
    """Return the host with new disks; ``without`` has the beginnings of lines to leave out."""
    return _read(BARE, more, without)


def made(*more: str, without: tuple[str, ...] = ()) -> Disks:
    """Return the host with both storages."""
    gone = ('disk KNAME="vdb"', 'disk KNAME="vdc"')
    lines = "".join(f"{line}\n" for line in BARE.splitlines() if not line.startswith(gone))
    return _read(lines + MADE, more, without)


def _read(text: str, more: tuple[str, ...], without: tuple[str, ...]) -> Disks:
    lines = [line for line in text.splitlines() if not without or not line.startswith(without)]
    return Storage().process([*lines, *more])


def disk(name: str, parent: str = "", kind: str = "part", **columns: str) -> str:
    """Return a line of lsblk."""
    given = {"KNAME": name, "PKNAME": parent, "TYPE": kind, "SIZE": "3221225472", "FSTYPE": ""}
    given |= {"MOUNTPOINT": "", "SERIAL": "", "UUID": "", **columns}
    return "disk " + " ".join(f'{key}="{value}"' for key, value in given.items())
