"""An engine's objects, from the JSON that Docker's and Podman's clients print when they inspect."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quaylab.engines.state import ContainerState, EngineState, FoundVolume, WrittenFile
from quaylab.images import full_name
from quaylab.lines import by_first_word, split_first
from quaylab.model import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    DIGEST_LABEL,
    VERSION_LABEL,
    PublishedPort,
)

# The prefix of our containers' and volumes' names.
PREFIX = "quaylab-"
# Labels of containers that others may have made, in the order in which they are printed.
REPORTED_LABELS = (DIGEST_LABEL, CREDENTIALS_LABEL)
# The states in which a container holds its ports. The last two are Podman's, before it runs and
# while it is stopped; Docker calls them running.
HOLDING_PORTS = ("running", "restarting", "paused", "initialized", "stopping")
# Moment, fraction of a second, and zone.
TIMESTAMP = re.compile(r"(.{19})(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Objects:
    """The engine's objects with a name of ours.

    ``state`` has what Quaylab made. ``container_labels`` and ``volumes`` also have objects of
    others. ``published`` are the ports that our containers should publish, and ``images`` the ids
    and digests of their images by name.
    """

    state: EngineState
    container_labels: Mapping[str, Mapping[str, str]]
    volumes: tuple[FoundVolume, ...]
    published: frozenset[int]
    images: Mapping[str, tuple[str, ...]]


def objects(
    output: Sequence[str], as_docker: Callable[[dict[str, Any]], dict[str, Any]] = lambda it: it
) -> Objects:
    """Parse the output of ``ContainerEngine.objects``; lines of other kinds are ignored.

    Args:
        as_docker: translates an object to what Docker says of such a one.

    Raises:
        ValueError: it can't be read.
    """
    # For a missing object the client prints an empty line.
    values = by_first_word(line for line in output if split_first(line)[1])
    found = [as_docker(json.loads(text)) for text in values.get("object", [])]
    # The kinds of objects have different keys: an image has no Name, a network no Config.
    containers = [each for each in found if "HostConfig" in each]
    networks = [each for each in found if "IPAM" in each]
    images = [each for each in found if "RepoTags" in each]
    # Older engines match a filter anywhere in a name.
    volumes = [each for each in found if "Mountpoint" in each and each["Name"].startswith(PREFIX)]
    tags = {full_name(tag): each for each in images for tag in each["RepoTags"] or []}
    state = EngineState(
        {each["Name"].lstrip("/"): _container(each, tags) for each in containers},
        {each["Name"]: each["Id"] for each in networks},
        tuple(each["Name"] for each in volumes if DATA_LABEL in (each["Labels"] or {})),
        dict(_file(line) for line in values.get("file", [])),
        network_is_internal=any(each["Internal"] for each in networks),
    )
    named = [line.split("|") for line in values.get("named", [])]
    return Objects(
        state,
        {
            name: {key: value for key, value in zip(REPORTED_LABELS, labels, strict=True) if value}
            for name, *labels in named
            if name.startswith(PREFIX)
        },
        tuple(
            _volume(each, values.get("missing", []), values.get("empty", [])) for each in volumes
        ),
        frozenset(port for each in containers for port in _published(each)),
        {tag: (each["Id"], *(each["RepoDigests"] or ())) for tag, each in tags.items()},
    )


def _volume(item: dict[str, Any], missing: list[str], empty: list[str]) -> FoundVolume:
    name = item["Name"]
    return FoundVolume(
        name,
        item["Labels"] or {},
        device=(item.get("Options") or {}).get("device"),
        missing=name in missing,
        empty=name in empty,
    )


def _published(item: dict[str, Any]) -> list[int]:
    """Return the ports that a container should publish, even if it restarts at the moment."""
    if item["State"]["Status"] not in HOLDING_PORTS:
        return []
    bindings = item["HostConfig"].get("PortBindings") or {}
    return [int(bound["HostPort"]) for outside in bindings.values() for bound in outside or []]


def _variables(environment: list[str] | None) -> dict[str, str]:
    pairs = (each.partition("=") for each in environment or [])
    return {name: value for name, _, value in pairs}


def _file(line: str) -> tuple[str, WrittenFile]:
    """Parse ``TIME SHA256  PATH``; sha256sum puts two blanks between its columns."""
    at, sha256, path = line.split(maxsplit=2)
    return path, WrittenFile(sha256, float(at))


def _container(item: dict[str, Any], tags: Mapping[str, dict[str, Any]]) -> ContainerState:
    """Parse a container's JSON.

    Args:
        tags: the images' JSON by image name.
    """
    reference = item["Config"]["Image"]
    image = tags.get(full_name(reference))
    image_was_retagged = image is not None and image["Id"] != item["Image"]
    labels = item["Config"].get("Labels") or {}
    bindings = item["HostConfig"].get("PortBindings") or {}
    health = item["State"].get("Health")
    return ContainerState(
        id=item["Id"],
        image=reference,
        image_was_retagged=image_was_retagged,
        digest=labels.get(DIGEST_LABEL, ""),
        version=labels.get(VERSION_LABEL, ""),
        state=item["State"]["Status"],
        health=health["Status"] if health else None,
        started=epoch_seconds(item["State"]["StartedAt"]),
        command=tuple(item["Config"].get("Cmd") or ()),
        environment=_variables(item["Config"].get("Env")),
        # After a retagging this is another image's, which doesn't matter.
        image_environment=_variables(image["Config"].get("Env")) if image else None,
        restart_policy=item["HostConfig"]["RestartPolicy"]["Name"],
        networks={
            name: network["NetworkID"]
            for name, network in item["NetworkSettings"]["Networks"].items()
        },
        ports=frozenset(
            str(
                PublishedPort(
                    int(inside.partition("/")[0]), int(bound["HostPort"]), bound["HostIp"]
                )
            )
            for inside, outside in bindings.items()
            for bound in outside or []
        ),
        mounts={
            mount["Destination"]: mount.get("Name") or mount["Source"] for mount in item["Mounts"]
        },
        cpu_shares=item["HostConfig"].get("CpuShares") or 0,
    )


def epoch_seconds(timestamp: str) -> float:
    """Parse RFC 3339 with nanoseconds; Python 3.10 reads six digits only, and no Z."""
    match = TIMESTAMP.fullmatch(timestamp)
    if match is None:
        raise ValueError(f"{timestamp} is no time")
    moment, fraction, zone = match.groups()
    seconds = datetime.fromisoformat(f"{moment}{zone.replace('Z', '+00:00')}").timestamp()
    return seconds + float(f"0.{fraction or 0}")
