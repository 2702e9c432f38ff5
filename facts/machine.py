"""The host itself: identity, size, engine, and the data it bears."""

from __future__ import annotations

import json
import time
from typing import Any

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.hosts import machine

# One wide command instead of ten narrow ones: a fact costs a round trip.
COMMAND = r"""
# pyinfra reads UTF-8 only. A file without even a line's end is what a power cut left: no note.
note() {
  test -s "$1" && LC_ALL=C tr -c '\12\40-\176' '?' <"$1"
}
printf 'uid %s\n' "$(id -u)"
printf 'os %s\n' "$(. /etc/os-release 2>/dev/null; echo "${ID:-}|${VERSION_ID:-}|${ID_LIKE:-}")"
printf 'arch %s\n' "$(uname -m)"
printf 'hostname %s\n' "$(uname -n)"
printf 'cpus %s\n' "$(nproc)"
printf 'memory_kb %s\n' "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
printf 'epoch %s\n' "$(date +%s)"
df -Plm 2>/dev/null | while read -r _ _ _ free _ mount; do
  case $free in [0-9]*) printf 'free %s %s\n' "$free" "$mount" ;; esac
done
# Before all others, as each of them would wait for ever for an engine that hangs.
info=$(timeout 60 docker info --format '{"ServerVersion":{{json .ServerVersion}},
    "Driver":{{json .Driver}},"DockerRootDir":{{json .DockerRootDir}},
    "SecurityOptions":{{json .SecurityOptions}}}' 2>/dev/null)
test $? != 124 || { echo hangs; docker() { return 1; }; }
# By what they are to publish, as one that keeps exiting publishes nothing half of the time; and
# both before and after looking who listens, as a killed run may still be starting or stopping one.
published() {
  docker ps --quiet --filter name=^quaylab- 2>/dev/null | while read -r container; do
    docker inspect --format '{{range .HostConfig.PortBindings}}{{range .}}published {{.HostPort}}
{{end}}{{end}}' "$container" 2>/dev/null
  done
}
published
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r _ local _ state _; do
  test "$state" != 0A || printf 'listening %s\n' "${local##*:}"
done
published
printf 'storage %s\n' "$(note /var/lib/quaylab/storage)"
printf 'registry %s\n' "$(note /var/lib/quaylab/registry)"
for cluster in /var/lib/ceph/*-*-*-*-*/; do
  test ! -d "$cluster" || printf 'ceph %s\n' "$(basename "$cluster")"
done
printf 'ceph_made %s\n' "$(note /var/lib/quaylab/ceph-cluster)"
if test -d /run/systemd/system; then echo systemd yes; fi
ip -o -4 address show scope global 2>/dev/null |
  while read -r _ link _ address _; do
    printf 'own_address %s\n' "${address%/*}"
    case $link in docker*|br-*|veth*|virbr*) ;; *) printf 'address %s\n' "${address%/*}" ;; esac
  done
if command -v docker >/dev/null 2>&1; then
  printf 'docker %s\n' "$(readlink -f "$(command -v docker)")"
  printf 'cli %s\n' "$(docker --version 2>/dev/null | head -n 1)"
  printf 'info %s\n' "$(printf '%s' "$info" | tr -d '\n')"
  printf 'schema %s\n' "$(note /var/lib/quaylab/schema || docker inspect --format \
    '{{index .Config.Labels "io.quaylab.version"}}' quaylab-quay 2>/dev/null)"
  docker volume ls --quiet --filter name=^quaylab- 2>/dev/null | while read -r volume; do
    docker volume inspect --format 'volume {{.Name}} {{json .Labels}}' "$volume"
    device=$(docker volume inspect \
      --format '{{with .Options}}{{with index . "device"}}{{.}}{{end}}{{end}}' "$volume")
    test -z "$device" || printf 'device %s %s\n' "$volume" "$device"
    directory=${device:-$(docker volume inspect --format '{{.Mountpoint}}' "$volume")}
    test -d "$directory" || printf 'missing %s\n' "$volume"
    test -n "$(ls -A "$directory" 2>/dev/null)" || printf 'empty %s\n' "$volume"
  done
  docker ps --all --quiet --filter name=^quaylab- 2>/dev/null | while read -r container; do
    docker inspect --format 'container {{.Name}} {{json .Config.Labels}}' "$container" 2>/dev/null
  done
fi
"""


class Machine(FactBase[machine.Machine | None]):
    """A :class:`quaylab.hosts.machine.Machine`."""

    def command(self) -> str:
        return COMMAND

    @staticmethod
    def default() -> machine.Machine | None:
        return None

    def process(self, output: list[str]) -> machine.Machine:
        said: dict[str, list[str]] = {}
        for line in output:
            key, _, value = line.partition(" ")
            said.setdefault(key, []).append(value.strip())

        def one(key: str) -> str:
            return said.get(key, [""])[0]

        os_id, _, rest = one("os").partition("|")
        os_version, _, os_like = rest.partition("|")
        try:
            return machine.Machine(
                uid=int(one("uid")),
                os_id=os_id,
                os_version=os_version,
                os_like=tuple(os_like.split()),
                architecture=one("arch"),
                cpus=int(one("cpus")),
                memory_mb=int(one("memory_kb")) // 1024,
                systemd=one("systemd") == "yes",
                addresses=tuple(said.get("address", [])),
                own_addresses=frozenset(said.get("own_address", [])),
                engine=_engine(one("docker"), one("cli"), one("info"), "hangs" in said)
                if "docker" in said
                else None,
                volumes=_volumes(said),
                containers=dict(_labelled(line) for line in said.get("container", [])),
                free_mb=dict(_free(line) for line in said.get("free", [])),
                listening=frozenset(int(port, 16) for port in said.get("listening", [])),
                published=frozenset(int(port) for port in said.get("published", [])),
                schema=one("schema") or None,
                storage=one("storage") or None,
                registry=one("registry") or None,
                ceph=frozenset(said.get("ceph", [])),
                ceph_made=one("ceph_made") or None,
                hostname=one("hostname"),
                clock_ahead=int(one("epoch")) - time.time() if "epoch" in said else 0,
            )
        except ValueError as error:
            raise FactProcessError(f"the host's report can't be read: {error}") from error


def _engine(path: str, cli: str, info_json: str, hangs: bool) -> machine.Engine:
    info: dict[str, Any] = json.loads(info_json) if info_json.startswith("{") else {}
    unsupported = None
    if "podman" in cli.lower() or "podman" in path:
        unsupported = "Podman's shim, which lacks what is needed; remove podman-docker"
    elif "/snap/" in path or "/snap/" in str(info.get("DockerRootDir")):
        unsupported = "a snap, which can't read /etc; install the distribution's or Docker CE"
    elif any("rootless" in option for option in info.get("SecurityOptions") or []):
        unsupported = "rootless, and can't bind the registry's ports; use the system's engine"
    elif hangs:
        unsupported = (
            "at a standstill: its engine gives no answer within 60 s; see what holds it up "
            "(journalctl --unit=docker), then restart it: systemctl restart docker"
        )
    return machine.Engine(
        version=info.get("ServerVersion") or None,
        storage_driver=info.get("Driver"),
        root_directory=info.get("DockerRootDir"),
        unsupported=unsupported,
    )


def _free(line: str) -> tuple[str, int]:
    free, _, mount = line.partition(" ")
    return mount, int(free)


def _volumes(said: dict[str, list[str]]) -> tuple[machine.Volume, ...]:
    devices = dict(_two(line) for line in said.get("device", []))
    return tuple(
        machine.Volume(
            name,
            labels,
            device=devices.get(name),
            missing=name in said.get("missing", []),
            empty=name in said.get("empty", []),
        )
        for name, labels in map(_labelled, said.get("volume", []))
    )


def _labelled(line: str) -> tuple[str, dict[str, str]]:
    """``NAME LABELS``, where a container's name begins with a slash."""
    name, labels = _two(line)
    return name.removeprefix("/"), json.loads(labels) or {}


def _two(line: str) -> tuple[str, str]:
    first, _, rest = line.partition(" ")
    return first, rest
