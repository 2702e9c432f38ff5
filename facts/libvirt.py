"""A hypervisor: what libvirt has, and the devices for its pools."""

from __future__ import annotations

import base64
import json

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.virtual.found import Device, DiskFile, Hypervisor, Object
from quaylab.virtual.lab import HOST_KEY, SEEDS

TAG = "quaylab"

COMMAND = r"""
LC_ALL=C; export LC_ALL
packed() { base64 | tr -d '\n'; }
virsh() { command virsh --connect qemu:///system "$@" 2>/dev/null </dev/null; }
PATH=$PATH:/usr/sbin:/sbin:/usr/libexec
# One of each line is needed.
while read -r tools; do
  have=
  for tool in $tools; do
    if command -v "$tool" >/dev/null; then have=yes; fi
  done
  test -n "$have" || printf 'missing|%s\n' "${tools%% *}"
done <<'TOOLS'
virsh
qemu-img
curl
ssh-keygen
xorrisofs genisoimage mkisofs
libvirtd virtqemud
qemu-system-x86_64 qemu-kvm
TOOLS
test ! -e /dev/kvm || echo kvm
for unit in libvirtd.socket libvirtd.service virtqemud.socket virtqemud.service; do
  if systemctl is-enabled --quiet $unit; then echo enabled; break; fi
done
if virsh uri >/dev/null; then
  echo answers
  report() {
    kind=$1 list=$2 info=$3 dump=$4
    virsh $list --all --name | while read -r name; do
      test -n "$name" || continue
      # Others, or a killed run's last command, may have removed it since it was listed.
      xml=$(virsh $dump --inactive "$name") && state=$(virsh $info "$name") || continue
      active=$(printf '%s\n' "$state" | sed -n 's/^\(Active\|State\): *\(.*\)/\2/p')
      autostart=$(printf '%s\n' "$state" | sed -n 's/^Autostart: *\(.*\)/\1/p')
      printf '%s|%s|%s|%s\n' $kind "$active" "$autostart" \
        "$(printf '%s\n' "$xml" | packed)"
    done
  }
  report network net-list net-info net-dumpxml
  report pool pool-list pool-info pool-dumpxml
  report domain list dominfo dumpxml
  # Not behind another job of a VM: it may be a long one of somebody else's.
  virsh domstats --list-active --block --nowait | awk -F= '
    /^ *block\.[0-9]+\.name=/ { path = "" }
    /^ *block\.[0-9]+\.path=/ { path = substr($0, index($0, "=") + 1) }
    /^ *block\.[0-9]+\.capacity=/ && path != "" { printf "live|%s|%s\n", $2, path }'
fi
for key in SEEDS/*/HOST_KEY.pub; do
  test ! -f "$key" ||
    printf 'host_key|%s|%s\n' "$(basename "$(dirname "$key")")" "$(cut -d' ' -f1,2 "$key")"
done
if command -v vgs >/dev/null; then
  vgs --noheadings --separator '|' --options vg_name,vg_tags 2>/dev/null | sed 's/^ */group|/'
fi
""".replace("SEEDS", SEEDS).replace("HOST_KEY", HOST_KEY)
# Run for each path of a disk, and for each device.
FILE = r"""
do
  if test ! -e "$path"; then continue; fi
  printf 'there|%s\n' "$path"
  test ! -d "$path" || continue
  # Without --force-share a running VM's disk is locked; RHEL 7's qemu-img has no such option.
  info=$(qemu-img info --force-share --output=json "$path" 2>/dev/null ||
    qemu-img info --output=json "$path" 2>/dev/null) || continue
  printf 'file|%s|%s\n' "$(printf '%s' "$info" | packed)" "$path"
done
for path in"""
DEVICE = r"""
do
  if test ! -b "$path"; then continue; fi
  group=$(pvs --noheadings --options vg_name "$path" 2>/dev/null | tr -d ' ')
  # RHEL 7's wipefs has no --output.
  content=$(wipefs --no-act --parsable "$path" 2>/dev/null | sed '/^#/d; s|^.*,||' | paste -sd ' ')
  used=$(lsblk --noheadings --raw --output NAME,MOUNTPOINT "$path" 2>/dev/null |
    awk 'NR > 1 || $2 != "" { printf "used " }')
  printf 'device|%s|%s|%s\n' "$group" "$content$used" "$path"
done
"""


class Libvirt(FactBase[Hypervisor]):
    """A :class:`quaylab.virtual.found.Hypervisor`, with the state of these paths and devices."""

    def command(self, paths: list[str], devices: list[str]) -> StringCommand:
        return StringCommand(
            COMMAND, "for path in", *map(QuoteString, paths), FILE, *map(QuoteString, devices),
            DEVICE,
        )  # fmt: skip

    @staticmethod
    def default() -> Hypervisor:
        return Hypervisor()

    def process(self, output: list[str]) -> Hypervisor:
        lines: dict[str, list[list[str]]] = {}
        for line in output:
            key, *values = line.split("|")
            lines.setdefault(key, []).append(values)
        return Hypervisor(
            missing=frozenset(values[0] for values in lines.get("missing", [])),
            answers="answers" in lines,
            enabled="enabled" in lines,
            kvm="kvm" in lines,
            networks=_objects(lines.get("network", [])),
            pools=_objects(lines.get("pool", [])),
            domains=_objects(lines.get("domain", [])),
            files=dict(_file(*values) for values in lines.get("file", [])),
            devices={
                path: Device(group or None, content or None)
                for group, content, path in lines.get("device", [])
            },
            volume_groups={name: TAG in tags.split(",") for name, tags in lines.get("group", [])},
            live_sizes={path: int(size) for size, path in lines.get("live", [])},
            host_keys=dict(lines.get("host_key", [])),
            existing_paths=frozenset(values[0] for values in lines.get("there", [])),
        )


def _objects(lines: list[list[str]]) -> dict[str, Object]:
    found = [
        Object(
            base64.b64decode(packed).decode(),
            # A paused VM counts as active.
            active not in ("no", "inactive", "shut off", "crashed"),
            autostart in ("yes", "enable"),
        )
        for active, autostart, packed in lines
    ]
    return {each.name: each for each in found}


def _file(packed: str, path: str) -> tuple[str, DiskFile]:
    info = json.loads(base64.b64decode(packed))
    return path, DiskFile(info["format"], info["virtual-size"])
