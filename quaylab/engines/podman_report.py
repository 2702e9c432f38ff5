"""What Podman and systemd say of our containers, as Docker would say it."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quaylab.engines import inspected, units
from quaylab.engines.inspected import PREFIX, REPORTED_LABELS, Objects
from quaylab.engines.state import ContainerState, Engine
from quaylab.lines import split_first
from quaylab.model import DIGEST_LABEL, EVERYWHERE, NORMAL_SHARES, RESTART_POLICY
from quaylab.paths import ETC

# The first one with all keys of our units, which RHEL 8.10 has.
OLDEST = (4, 9)
GENERATOR = "/usr/lib/systemd/system-generators/podman-system-generator"
# systemd's weight of a service that nobody has changed.
NORMAL_WEIGHT = 100
# In place of the digest of a container that was not started from our unit; it equals no digest.
EDITED = "edited"
# What Podman adds to each container's environment.
ADDED = ("container", "HOME", "HOSTNAME", "TERM")

# If Podman hangs, prints `hangs`; later podman commands then fail instead of blocking.
INFO = f"""\
if command -v podman >/dev/null 2>&1; then
    printf 'version %s\\n' "$(podman --version 2>/dev/null)"
    info=$(timeout 60 podman info --format '{{{{json .}}}}' 2>&1)
    status=$?
    if test $status = 0; then
        # Warnings stand before it.
        info=$(printf '%s\\n' "$info" | grep '^{{')
        printf 'info %s\\n' "$info"
        root=$(printf '%s' "$info" | sed -n 's/.*"graphRoot":"\\([^"]*\\)".*/\\1/p')
        printf 'filesystem %s\\n' "$(stat --file-system --format=%T "$root" 2>/dev/null)"
    elif test $status = 124; then
        echo hangs
        podman() {{ return 1; }}
    else
        printf 'error %s\\n' "$(printf '%s\\n' "$info" | tail -n 1)"
    fi
    test ! -x {GENERATOR} || echo quadlet
fi
"""
_LABELS = "".join(f'|{{{{index .Config.Labels "{label}"}}}}' for label in REPORTED_LABELS)
_PROPERTIES = "LoadState,ActiveState,NeedDaemonReload,CPUWeight,FragmentPath,Restart,SourcePath"
# As Docker's. A stopped container does not exist, so its unit is reported, with our labels in it.
# An empty unit is what a power cut left: no unit.
OBJECTS = f"""\
if command -v podman >/dev/null 2>&1; then
    all=$(podman ps --all --quiet --filter name=^{PREFIX} 2>/dev/null)
    test -z "$all" || named=$(podman container inspect --format \
        'named {{{{.Name}}}}{_LABELS}' $all 2>/dev/null)
    printf '%s\\n' "$named"
    ours=$(printf '%s' "$named" | sed -n 's/^named \\([^|]*\\)|[^|].*/\\1/p')
    podman network inspect --format '{{{{json .}}}}' quaylab 2>/dev/null | sed 's/^/object /'
    test -z "$ours" ||
        found=$(podman container inspect --format '{{{{json .}}}}' $ours 2>/dev/null |
            sed 's/^/object /')
    printf '%s\\n' "$found"
    images=$(printf '%s' "$found" | sed -n 's/.*"ImageName":"\\([^"]*\\)".*/\\1/p' | sort -u)
    for image in $images; do
        podman image inspect --format '{{{{json .}}}}' "$image" 2>/dev/null | sed 's/^/object /'
    done
    for volume in $(podman volume ls --quiet --filter name=^{PREFIX} 2>/dev/null); do
        object=$(podman volume inspect --format '{{{{json .}}}}' "$volume" 2>/dev/null)
        printf 'object %s\\n' "$object"
        directory=$(printf '%s' "$object" | sed -n 's/.*"device":"\\([^"]*\\)".*/\\1/p')
        test -n "$directory" || directory=$(printf '%s' "$object" |
            sed -n 's/.*"Mountpoint":"\\([^"]*\\)".*/\\1/p')
        test -d "$directory" || printf 'missing %s\\n' "$volume"
        test -n "$(ls -A "$directory" 2>/dev/null)" || printf 'empty %s\\n' "$volume"
    done
    for unit in {units.FOLDER}/{PREFIX}*.container; do
        test -s "$unit" || continue
        name=$(basename "$unit" .container)
        labels=$(for label in {" ".join(REPORTED_LABELS)}; do
            printf '|%s' "$(sed -n "s/^Label=\\"$label=\\(.*\\)\\"$/\\1/p" "$unit")"; done)
        sum=$(sed -n 's/^{units.CHECKSUM}//p' "$unit") edited=
        # Without its last line as well: an editor may have lost it.
        test "$sum" = "$(sed '/^{units.CHECKSUM}/d' "$unit" | sha256sum | cut -d ' ' -f 1)" ||
            edited=$(stat --format=%Y "$unit")
        shown=$(systemctl show --property={_PROPERTIES} "$name.service")
        source=$(printf '%s\\n' "$shown" | sed -n 's/^SourcePath=//p')
        # Quadlet's folders may be symbolic links.
        test ! "$source" -ef "$unit" || shown="$shown IsSource=yes"
        printf 'unit %s%s|%s|%s\\n' "$name" "$labels" "$edited" "$(echo "$shown" | tr '\\n' ' ')"
    done
    # Before the first unit there may be no folder for them.
    find -L {ETC} {units.FOLDER} -type f -printf 'file %T@ ' -exec sha256sum {{}} \\; \
        2>/dev/null || :
fi
"""


@dataclass(frozen=True)
class Unit:
    """A unit of ours, with the ``labels`` in it. It ``is_kept`` if systemd has read the present
    file and may start it. ``edited`` is when somebody else has written the file, in seconds since
    the epoch; None: nobody has."""

    labels: Mapping[str, str]
    is_kept: bool
    shares: int
    edited: float | None


def report(output: Sequence[str]) -> Engine | None:
    """Parse the answer to :data:`INFO`; None if Podman is not installed."""
    values = dict(split_first(line) for line in output)
    if "version" not in values:
        return None
    version = values["version"].rpartition(" ")[2]
    info: dict[str, Any] = json.loads(values.get("info") or "{}")
    return Engine(
        version if info else None,
        info["store"]["graphRoot"] if info else None,
        "; ".join(_problems(version, info, values)) or None,
    )


def _problems(version: str, info: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """Return why Quaylab can't use this Podman. Without a version it can't even tell that."""
    if version and tuple(map(int, re.findall(r"\d+", version)[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return [
            f"Podman {version}, and {oldest} or newer is needed: update it, on RHEL 8 after "
            "`dnf module reset container-tools`, or set container_engine to docker"
        ]
    if "hangs" in values:
        return [
            "at a standstill: it gives no answer within 60 s; see which process holds it up "
            "(ps -fC podman), or whether its storage does"
        ]
    if not info:
        return [f"not able to work: {values.get('error') or 'it says nothing'}"]
    found = []
    host = info["host"]
    if host.get("security", {}).get("rootless"):
        found.append(
            "rootless, so clients' addresses would be lost and the registry's ports can't be "
            "bound; run it as the host's root"
        )
    if "quadlet" not in values:
        found.append(f"without Quadlet, as {GENERATOR} is not there; install the whole package")
    found += _without_names(host["networkBackend"], host["networkBackendInfo"].get("dns", {}))
    if values.get("filesystem") == "nfs":
        found.append(
            f"keeping its storage on NFS, which it does not support; move "
            f"{info['store']['graphRoot']} to a local disk"
        )
    return found


def _without_names(backend: str, dns: Mapping[str, str]) -> list[str]:
    """Return why containers don't find each other by name.

    Args:
        dns: of netavark it always has a path, and the program's version only if that can be run.
    """
    is_cni = backend == "cni"  # RHEL 8's
    if dns.get("path" if is_cni else "version"):
        return []
    package = "podman-plugins" if is_cni else "aardvark-dns"
    return [f"without {package}, so containers don't find each other by name; install it"]


def objects(output: Sequence[str]) -> Objects:
    """Parse the output of :data:`OBJECTS`."""
    found = dict(_unit(line[5:]) for line in output if line.startswith("unit "))

    def as_docker(item: dict[str, Any]) -> dict[str, Any]:
        if "network_interface" in item:
            keys = {"Name": "name", "Id": "id", "Internal": "internal"}
            return {"IPAM": {}, **{name: item[key] for name, key in keys.items()}}
        if "HostConfig" in item:
            return _container(item, found.get(item["Name"]))
        if "RepoTags" in item:
            return {**item, "Id": f"sha256:{item['Id']}", "Config": _config(item["Config"])}
        return item

    result = inspected.objects(output, as_docker)
    stopped = {name: unit for name, unit in found.items() if name not in result.container_labels}
    # Units of others are known by their labels alone, as containers of others are.
    ours = [name for name, unit in stopped.items() if DIGEST_LABEL in unit.labels]
    return dataclasses.replace(
        result,
        state=dataclasses.replace(
            result.state,
            containers={**dict.fromkeys(ours, STOPPED), **result.state.containers},
            # By `env` in containers.conf, and by drop-ins of Quadlet, which Podman 5 reads.
            admits_more=True,
        ),
        container_labels={
            **{name: unit.labels for name, unit in stopped.items()},
            **result.container_labels,
        },
    )


def _unit(line: str) -> tuple[str, Unit]:
    name, *labels, edited, text = line.split("|")
    properties = dict(word.split("=", 1) for word in text.split() if "=" in word)
    weight = properties.get("CPUWeight", "")
    return name, Unit(
        {key: value for key, value in zip(REPORTED_LABELS, labels, strict=True) if value},
        # Without systemd there is none of these.
        properties.get("LoadState") == "loaded"
        and properties.get("NeedDaemonReload") == "no"
        and properties.get("FragmentPath") == units.service_path(name)
        # Else one of its name in another of Quadlet's folders precedes it.
        and properties.get("IsSource") == "yes"
        and properties.get("Restart") == RESTART_POLICY,
        int(weight) * NORMAL_SHARES // NORMAL_WEIGHT if weight.isdigit() else 0,
        float(edited) if edited else None,
    )


def _container(item: dict[str, Any], unit: Unit | None) -> dict[str, Any]:
    config = _config(item["Config"])
    is_systemds = config["Labels"].get("PODMAN_SYSTEMD_UNIT") == units.service(item["Name"])
    started = inspected.epoch_seconds(item["State"]["StartedAt"])
    if not is_systemds or (unit and unit.edited and unit.edited < started):
        # Somebody started it by hand, or edited its unit before systemd started it. It is ours, so
        # it is stopped as carefully as each of ours, and whatever its label says, it is replaced.
        config = {**config, "Labels": {**config["Labels"], DIGEST_LABEL: EDITED}}
    health = item["State"].get("Health") or {}
    ports = {
        inside: [{**bound, "HostIp": bound["HostIp"] or EVERYWHERE} for bound in outside or []]
        for inside, outside in (item["HostConfig"].get("PortBindings") or {}).items()
    }
    return {
        **item,
        "NetworkSettings": {"Networks": _networks(item["NetworkSettings"])},
        "Image": f"sha256:{item['Image']}",
        "Config": {**config, "Image": item["ImageName"]},
        "State": {**item["State"], "Health": health if health.get("Status") else None},
        "HostConfig": {
            "PortBindings": ports,
            "RestartPolicy": {"Name": RESTART_POLICY if unit and unit.is_kept else ""},
            "CpuShares": unit.shares if unit else 0,
        },
    }


def _networks(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a container's networks. Without one Podman leaves the key out, and before 5.4 it gives
    a network's name as its id."""
    return {
        name: {**each, "NetworkID": "" if each["NetworkID"] == name else each["NetworkID"]}
        for name, each in (settings.get("Networks") or {}).items()
    }


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without the variables that Podman adds by itself."""
    variables = config.get("Env") or []
    kept = [each for each in variables if each.partition("=")[0] not in ADDED]
    return {**config, "Env": kept, "Labels": config.get("Labels") or {}}


# What a unit of ours counts as whose container does not run.
STOPPED = ContainerState(
    id="",
    image="",
    image_was_retagged=False,
    digest="",
    version="",
    state="exited",
    health=None,
    started=0,
    restart_policy="",
    command=(),
    environment={},
    image_environment=None,
    networks={},
    ports=frozenset(),
    mounts={},
)
