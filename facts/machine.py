"""The host itself: identity, size, engine, and its data."""

from __future__ import annotations

import time
from collections.abc import Mapping

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.engines import DOCKER, ENGINES, ContainerEngine
from quaylab.engines.state import Engine
from quaylab.hosts import machine
from quaylab.lines import by_first_word, split_first
from quaylab.model import container_name
from quaylab.paths import (
    CEPH_NOTE,
    DATABASE_NOTE,
    ENGINE_NOTE,
    IMAGE_NOTES,
    REGISTRY_NOTE,
    SCHEMA_NOTE,
    STORAGE_NOTE,
)
from quaylab.services import ceph

# Before what an engine reports stands its name.
SECTION = "engine"
# One wide command instead of ten narrow ones: a fact costs a round trip.
COMMAND = r"""
# pyinfra reads UTF-8 only. A file without even a line's end is what a power cut left: no note. One
# that is longer is none of ours.
note() {
  test -s "$1" && head -c 4096 "$1" | LC_ALL=C tr -c '\12\40-\176' '?'
}
printf 'uid %s\n' "$(id -u)"
printf 'os %s\n' "$(. /etc/os-release 2>/dev/null; echo "${ID:-}|${VERSION_ID:-}|${ID_LIKE:-}")"
printf 'arch %s\n' "$(uname -m)"
printf 'hostname %s\n' "$(uname -n)"
printf 'cpus %s\n' "$(nproc)"
printf 'memory_kb %s\n' "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
printf 'epoch %s\n' "$(date +%s)"
printf 'fips %s\n' "$(cat /proc/sys/crypto/fips_enabled 2>/dev/null)"
if test -e /sys/fs/cgroup/cgroup.controllers; then echo cgroup_v2 yes; fi
# A rule or trusted files; one of them is needed.
if systemctl is-active --quiet fapolicyd 2>/dev/null &&
  ! grep -rqs '^[^#]*/var/lib/ceph/' /etc/fapolicyd; then echo denies_cephadm yes; fi
df -Plm 2>/dev/null | while read -r _ _ _ free _ mount; do
  case $free in [0-9]*) printf 'free %s %s\n' "$free" "$mount" ;; esac
done
# Both before and after looking at containers: what a killed run is starting or stopping meanwhile
# is not another's.
listening() {
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _; do
    test "$state" != 0A || printf '%s %s\n' "$1" "${local##*:}"
  done
}
listening before
printf 'database %s\n' "$(note DATABASE_NOTE)"
printf 'storage %s\n' "$(note STORAGE_NOTE)"
printf 'registry %s\n' "$(note REGISTRY_NOTE)"
printf 'engine_note %s\n' "$(note ENGINE_NOTE)"
for cluster in /var/lib/ceph/*-*-*-*-*/; do
  test ! -d "$cluster" || printf 'ceph %s\n' "$(basename "$cluster")"
done
configuration=/etc/ceph/ceph.conf
if test -e $configuration; then
  cluster=$(sed -n 's/^[[:space:]]*fsid[[:space:]]*=[[:space:]]*//p' $configuration | head -n 1)
  printf 'ceph_configuration %s\n' "${cluster:-without fsid}"
fi
printf 'bootstrapped_cluster %s\n' "$(note CEPH_NOTE)"
sed -n 's/^OSD_SIZE=\([0-9]*\)G$/ceph_osd_size_gb \1/p' CEPH_VARIABLES 2>/dev/null
if test -d /run/systemd/system; then echo systemd yes; fi
ip -o -4 address show scope global 2>/dev/null |
  while read -r _ link _ address _; do
    printf 'own_address %s\n' "${address%/*}"
    printf 'network %s %s\n' "$link" "$address"
    case $link in
      docker*|podman*|cni-*|br-*|veth*|virbr*) ;;
      *) printf 'address %s\n' "${address%/*}" ;;
    esac
  done
schema=$(note SCHEMA_NOTE) && printf 'schema %s\n' "$schema" &&
  printf 'schema_time %s\n' "$(stat -c %Y SCHEMA_NOTE)"
for file in IMAGE_NOTES/*; do
  test ! -f "$file" || printf 'image_note %s %s\n' "$file" "$(note "$file")"
done
"""
FILES = {
    "SCHEMA_NOTE": SCHEMA_NOTE,
    "DATABASE_NOTE": DATABASE_NOTE,
    "STORAGE_NOTE": STORAGE_NOTE,
    "REGISTRY_NOTE": REGISTRY_NOTE,
    "ENGINE_NOTE": ENGINE_NOTE,
    "CEPH_NOTE": CEPH_NOTE,
    "CEPH_VARIABLES": ceph.VARIABLES,
    "IMAGE_NOTES": IMAGE_NOTES,
}


class Machine(FactBase[machine.Machine | None]):
    """A :class:`quaylab.hosts.machine.Machine`."""

    def command(self) -> str:
        command = COMMAND
        for name, path in FILES.items():
            command = command.replace(name, path)
        # A shell of its own for each engine: it may define functions.
        parts = (
            f"echo {SECTION} {engine.name}\n({engine.info}{engine.objects})\n" for engine in ENGINES
        )
        return f"{command}{''.join(parts)}listening after\n"

    @staticmethod
    def default() -> machine.Machine | None:
        return None

    def process(self, output: list[str]) -> machine.Machine:
        values = {
            key: [each.strip() for each in found] for key, found in by_first_word(output).items()
        }

        def one(key: str) -> str:
            return values.get(key, [""])[0]

        os_id, _, rest = one("os").partition("|")
        os_version, _, os_like = rest.partition("|")
        try:
            engines = {engine.name: _report(engine, _section(output, engine)) for engine in ENGINES}
            found = machine.Machine(
                uid=int(one("uid")),
                os_id=os_id,
                os_version=os_version,
                os_like=tuple(os_like.split()),
                architecture=one("arch"),
                cpus=int(one("cpus")),
                memory_mb=int(one("memory_kb")) // 1024,
                systemd=one("systemd") == "yes",
                fips=one("fips") == "1",
                cgroup_v2=one("cgroup_v2") == "yes",
                denies_cephadm=one("denies_cephadm") == "yes",
                addresses=tuple(values.get("address", [])),
                own_addresses=frozenset(values.get("own_address", [])),
                networks=tuple(split_first(line) for line in values.get("network", [])),
                engine=None,
                volumes=(),
                free_mb=dict(_free(line) for line in values.get("free", [])),
                listening=_ports(values, "before") & _ports(values, "after"),
                # If the note is lost, the container has the version.
                schema=(one("schema") if "schema" in values else _version(engines)) or None,
                schema_time=float(one("schema_time") or 0),
                database=one("database") or None,
                storage=one("storage") or None,
                registry=one("registry") or None,
                engine_note=one("engine_note") or None,
                ceph=frozenset(values.get("ceph", [])),
                ceph_configuration=one("ceph_configuration") or None,
                bootstrapped_cluster=one("bootstrapped_cluster") or None,
                ceph_osd_size_gb=int(one("ceph_osd_size_gb") or 0) or None,
                hostname=one("hostname"),
                image_notes=dict(split_first(line) for line in values.get("image_note", [])),
                clock_ahead=int(one("epoch")) - time.time() if "epoch" in values else 0,
                engines=engines,
            )
            return found.using(DOCKER.name)
        except ValueError as error:
            raise FactProcessError(f"the host's report can't be read: {error}") from error


class EngineInfo(FactBase[Engine | None]):
    """The engine's information about itself; None without an engine."""

    def command(self) -> str:
        return host_engine().info

    @staticmethod
    def default() -> Engine | None:
        return None

    def process(self, output: list[str]) -> Engine | None:
        try:
            return host_engine().parse_info(output)
        except ValueError as error:
            raise FactProcessError(f"the engine's report can't be read: {error}") from error


def _section(output: list[str], engine: ContainerEngine) -> list[str]:
    """Return the lines of an engine's section, of which the last one goes to the end."""
    found: list[str] = []
    current = ""
    for line in output:
        key, rest = split_first(line)
        if key == SECTION:
            current = rest
        elif current == engine.name:
            found.append(line)
    return found


def _report(engine: ContainerEngine, output: list[str]) -> machine.EngineReport:
    found = engine.parse_objects(output)
    return machine.EngineReport(
        engine.parse_info(output),
        found.volumes,
        found.container_labels,
        found.published,
        found.state,
        found.images,
    )


def _version(engines: Mapping[str, machine.EngineReport]) -> str:
    """Return the version of Quay's container, in whichever engine it is."""
    found = (each.state.containers.get(container_name("quay")) for each in engines.values())
    return next((quay.version for quay in found if quay), "")


def _free(line: str) -> tuple[str, int]:
    free, _, mount = line.partition(" ")
    return mount, int(free)


def _ports(values: dict[str, list[str]], when: str) -> frozenset[int]:
    return frozenset(int(port, 16) for port in values.get(when, []))
