"""Disks, LVM, mounts, and the engine's storage."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.engines import DOCKER
from quaylab.hosts.disks import (
    ENGINE_ROOT,
    Device,
    Disks,
    FstabLine,
    LogicalVolume,
    Mount,
    PhysicalVolume,
    VolumeGroup,
    XfsState,
)
from quaylab.lines import by_first_word

# lsblk's pairs and LVM's separators, because RHEL 7 writes no JSON of block devices. What an engine
# creates on its first start counts as no data.
COMMAND = r"""
lsblk --bytes --pairs \
  --output KNAME,PKNAME,TYPE,SIZE,FSTYPE,MOUNTPOINT,SERIAL,UUID 2>/dev/null | sed 's/^/disk /'
lsblk --noheadings --raw --output KNAME,TYPE 2>/dev/null | sort -u | while read -r name type; do
  case $type in
    rom|lvm) ;;
    *) wipefs --parsable "/dev/$name" 2>/dev/null | sed "/^#/d; s|^.*,|signature /dev/$name |" ;;
  esac
done
for serial in /sys/block/*/serial /sys/block/*/device/serial; do
  test ! -s "$serial" || { device=${serial#/sys/block/}
    printf 'serial /dev/%s %s\n' "${device%%/*}" "$(cat "$serial")"; }
done
find /dev/disk /dev/mapper -type l -printf 'name %p ' -exec readlink -f {} \; 2>/dev/null
if command -v lvs >/dev/null 2>&1; then
  report() { "$@" --noheadings --units b --nosuffix --separator '|' 2>/dev/null; }
  report pvs -o pv_name,vg_name,pv_in_use,pv_size | sed 's/^ */pv /'
  report vgs -o vg_name,vg_tags,vg_size,vg_free,vg_extent_size,vg_missing_pv_count |
    sed 's/^ */vg /'
  report lvs -o vg_name,lv_name,lv_size,lv_tags | sed 's/^ */lv /'
fi
while read -r source target type options _; do
  case $source in /dev/*) source=$(readlink -f "$source") ;; esac
  echo "mount $source $target $type $options"
done </proc/self/mounts
sed '/^[[:space:]]*#/d; /^[[:space:]]*$/d; s/^/fstab /' /etc/fstab 2>/dev/null
for tool in vgcreate mkfs.xfs; do
  ! command -v "$tool" >/dev/null 2>&1 || echo "tool $tool"
done
daemon=/etc/docker/daemon.json
# A proxy in it may have a password.
test ! -e $daemon || printf 'daemon %s\n' "$(sed 's|//[^/@"]*@|//|g' $daemon | tr '\n' ' ')"
sed 's/^/setup /' /etc/sysconfig/docker-storage-setup 2>/dev/null
root=$(ENGINE_ROOT_DIRECTORY)
if test -n "$root"; then
  ENGINE_DRIVER
  test "$(ENGINE_COUNTS)" = 00 || echo 'data its images and containers'
else
  root=$(sed -n 's/.*"data-root"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' $daemon 2>/dev/null)
fi
root=$(readlink -m "${root:-ENGINE_ROOT}")
echo "root $root"
! kill -0 "$(cat /var/run/docker.pid 2>/dev/null)" 2>/dev/null || echo running
find "$root" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | grep -vxE 'ENGINE_OWN' |
  sed "s|^|data $root/|"
find "$root"/containers "$root"/image/*/imagedb/content/sha256 "$root"/swarm -mindepth 1 \
  -printf 'data %p\n' -quit 2>/dev/null
find "$root"/volumes "$root"/plugins -mindepth 1 -maxdepth 1 -type d ! -name tmp ! -name storage \
  -printf 'data %p\n' -quit 2>/dev/null
"""
# What an engine of any version has at the top of its root.
ENGINE_OWN = (
    "aufs|btrfs|builder|buildkit|containerd|containers|devicemapper|engine-id|fuse-overlayfs|"
    r"image|lost\+found|network|overlay|overlay2|plugins|runtimes|swarm|tmp|trust|vfs|volumes"
)
SUBSTITUTIONS = {
    "ENGINE_ROOT_DIRECTORY": DOCKER.root_directory,
    "ENGINE_DRIVER": DOCKER.driver,
    "ENGINE_COUNTS": DOCKER.counts,
    "ENGINE_ROOT": ENGINE_ROOT,
    "ENGINE_OWN": ENGINE_OWN,
}
for _name, _value in SUBSTITUTIONS.items():
    COMMAND = COMMAND.replace(_name, _value)
# For each directory at which a file system of ours is or will be mounted.
DIRECTORIES = r"""; do
  test -z "$(ls -A "$path" 2>/dev/null)" || echo "occupied $path"
  xfs_info "$path" 2>/dev/null | sed "s|^|xfs $path |"
done"""


class Storage(FactBase[Disks]):
    """:class:`quaylab.hosts.disks.Disks`, in one command."""

    def requires_command(self, paths: list[str]) -> str:
        return "lsblk"

    def command(self, paths: list[str]) -> StringCommand:
        return StringCommand(
            COMMAND, 'for path in "$root"', *(QuoteString(path) for path in paths), DIRECTORIES
        )

    @staticmethod
    def default() -> Disks:
        return Disks()

    def process(self, output: list[str]) -> Disks:
        values = by_first_word(output)

        def rows(key: str, separator: str | None = None) -> Iterator[list[str]]:
            return (line.split(separator) for line in values.get(key, []))

        def one(key: str) -> str:
            return values.get(key, [""])[0].strip()

        names = dict(rows("name"))
        try:
            return Disks(
                devices=_devices(values),
                names=names,
                physical={
                    pv.device: pv for pv in (_physical(row, names) for row in rows("pv", "|"))
                },
                groups={row[0]: _group(row) for row in rows("vg", "|")},
                logical=tuple(_logical(row, names) for row in rows("lv", "|")),
                mounts=tuple(_mount(row) for row in rows("mount")),
                xfs=_xfs(values.get("xfs", [])),
                fstab=tuple(_fstab(row) for row in rows("fstab") if len(row) > 1),
                tools=frozenset(values.get("tool", [])),
                root=one("root"),
                running="running" in values,
                driver=one("driver"),
                data=one("data"),
                occupied=frozenset(values.get("occupied", [])),
                daemon=one("daemon"),
                setup="".join(f"{line}\n" for line in values.get("setup", [])),
            )
        except (ValueError, LookupError) as error:
            raise FactProcessError(f"the disks' report can't be read: {error!r}") from error


def _devices(values: dict[str, list[str]]) -> dict[str, Device]:
    """Collect lsblk's lines: it lists a device once for each of its parents."""
    serials = {path: serial.strip() for path, _, serial in _partitioned(values, "serial")}
    signatures: dict[str, list[str]] = {}
    for path, _, kind in _partitioned(values, "signature"):
        signatures.setdefault(path, []).append(kind)
    devices: dict[str, Device] = {}
    for line in values.get("disk", []):
        columns = dict(pair.split("=", 1) for pair in shlex.split(line))
        path = f"/dev/{columns['KNAME']}"
        before = devices[path].parents if path in devices else frozenset[str]()
        parent = {f"/dev/{columns['PKNAME']}"} if columns["PKNAME"] else set[str]()
        devices[path] = Device(
            path=path,
            kind=columns["TYPE"],
            size=int(columns["SIZE"]),
            filesystem=columns["FSTYPE"],
            mountpoint=columns["MOUNTPOINT"],
            serial=columns["SERIAL"].strip() or serials.get(path, ""),
            uuid=columns["UUID"],
            parents=before | parent,
            signatures=tuple(dict.fromkeys(signatures.get(path, []))),
        )
    return devices


def _partitioned(values: dict[str, list[str]], key: str) -> Iterator[tuple[str, str, str]]:
    return (line.partition(" ") for line in values.get(key, []))


def _physical(row: list[str], names: dict[str, str]) -> PhysicalVolume:
    name, group, used, size = row
    return PhysicalVolume(names.get(name, name), group, bool(used), int(size))


def _group(row: list[str]) -> VolumeGroup:
    name, tags, size, free, extent, missing = row
    return VolumeGroup(name, _tags(tags), int(size), int(free), int(extent), int(missing))


def _logical(row: list[str], names: dict[str, str]) -> LogicalVolume:
    group, name, size, tags = row
    mapped = f"/dev/mapper/{group.replace('-', '--')}-{name.replace('-', '--')}"
    return LogicalVolume(group, name, int(size), _tags(tags), names.get(mapped, mapped))


def _tags(text: str) -> frozenset[str]:
    return frozenset(filter(None, text.split(",")))


def _fstab(row: list[str]) -> FstabLine:
    """Parse a line of fstab, whose type and options may be left out (fstab(5))."""
    source, target, *rest = row
    return FstabLine(source, target, rest[1] if len(rest) > 1 else "defaults")


def _mount(row: list[str]) -> Mount:
    device, target, kind, options = row
    return Mount(device, target, kind, frozenset(options.split(",")))


def _xfs(lines: list[str]) -> dict[str, XfsState]:
    """Parse xfs_info's lines; each begins with its mount point."""
    reports: dict[str, str] = {}
    for line in lines:
        path, _, rest = line.partition(" ")
        reports[path] = f"{reports.get(path, '')}\n{rest}"
    found = {}
    for path, text in reports.items():
        if data := re.search(r"^data\s+=\s*bsize=(\d+)\s+blocks=(\d+)", text, re.MULTILINE):
            found[path] = XfsState(int(data[1]) * int(data[2]), "ftype=1" in text)
    return found
