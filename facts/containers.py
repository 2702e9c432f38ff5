"""Our containers, networks and volumes, and the files that containers read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.containers import DIGEST_LABEL, NETWORK, VERSION_LABEL, PublishedPort
from quaylab.paths import ETC


@dataclass(frozen=True)
class ContainerState:
    """A container as it is.

    ``health`` is None for one without a health check; ``environment`` begins with the image's own,
    which is None if the image is gone; ``outdated`` is whether the image's name has since been
    given to another; ``started`` is in seconds since the epoch; ``networks`` are ids by name, the
    id being empty until the first start.
    """

    id: str
    image: str
    outdated: bool
    digest: str
    version: str
    state: str
    health: str | None
    started: float
    restart_policy: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    image_environment: Mapping[str, str] | None
    networks: Mapping[str, str]
    ports: frozenset[str]
    mounts: Mapping[str, str]


@dataclass(frozen=True)
class Written:
    """A file's content, and when it was written, in seconds since the epoch."""

    sha256: str
    at: float


@dataclass(frozen=True)
class EngineState:
    """What the engine holds of ours, networks with their ids, and our files by path;
    ``network_is_internal`` is whether ours has no way out, nor one in for published ports."""

    containers: Mapping[str, ContainerState]
    networks: Mapping[str, str]
    volumes: tuple[str, ...]
    files: Mapping[str, Written]
    network_is_internal: bool = False


class Engine(FactBase[EngineState]):
    """Containers, networks, volumes and files of Quaylab's, in one command."""

    def requires_command(self) -> str:
        return "docker"

    def command(self) -> str:
        return (
            f"containers=$(docker ps --all --quiet --filter label={DIGEST_LABEL} 2>/dev/null); "
            'if test -n "$containers"; then docker inspect $containers; '
            "docker image inspect --format 'image {{.Id}} {{json .Config.Env}}' "
            "$(docker inspect --format '{{.Image}}' $containers) 2>/dev/null; "
            "docker image inspect "
            "--format '{{range .RepoTags}}tag {{$.Id}} {{.}}{{println}}{{end}}' "
            "$(docker inspect --format '{{.Config.Image}}' $containers) 2>/dev/null; fi; "
            # -L: where our directory lies on another disk, there is a symbolic link in its place.
            f"find -L {ETC} -type f -printf 'file %T@ ' -exec sha256sum {{}} \\; 2>/dev/null; "
            "docker network ls --no-trunc --filter name=quaylab "
            "--format 'network {{.Name}} {{.ID}} {{.Internal}}' 2>/dev/null; "
            "docker volume ls --filter label=io.quaylab.data --format 'volume {{.Name}}' "
            "2>/dev/null || :"  # an engine that doesn't run yet holds nothing
        )

    @staticmethod
    def default() -> EngineState:
        return EngineState({}, {}, (), {})

    def process(self, output: list[str]) -> EngineState:
        kinds = ("network", "volume", "image", "tag", "file")
        said: dict[str, list[str]] = {kind: [] for kind in kinds}
        inspected: list[str] = []
        for line in output:
            kind, _, rest = line.partition(" ")
            if kind in said and rest:
                said[kind].append(rest)
            else:
                inspected.append(line)
        try:
            containers = json.loads("\n".join(inspected) or "[]")
            images = {id: _variables(json.loads(env)) for id, env in map(_two, said["image"])}
        except ValueError as error:
            raise FactProcessError(f"docker inspect: {error}") from error
        tags = {tag: id for id, tag in map(_two, said["tag"])}
        networks = {words[0]: words[1:] for words in map(str.split, said["network"])}
        return EngineState(
            {item["Name"].lstrip("/"): _container(item, images, tags) for item in containers},
            {name: words[0] for name, words in networks.items()},
            tuple(said["volume"]),
            dict(_written(line) for line in said["file"]),
            network_is_internal=networks.get(NETWORK, [])[1:] == ["true"],
        )


class Succeeds(FactBase[bool]):
    """Whether a shell command succeeds in a container.

    + container: the container's name
    + command: the command
    """

    def requires_command(self, container: str, command: str) -> str:
        return "docker"

    def command(self, container: str, command: str) -> StringCommand:
        return StringCommand(
            "docker exec", container, "sh -c", QuoteString(command),
            ">/dev/null 2>&1 && echo yes || :",
        )  # fmt: skip

    @staticmethod
    def default() -> bool:
        return False

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]


def _two(line: str) -> tuple[str, str]:
    first, _, rest = line.partition(" ")
    return first, rest


def _variables(environment: list[str] | None) -> dict[str, str]:
    pairs = (each.partition("=") for each in environment or [])
    return {name: value for name, _, value in pairs}


def _written(line: str) -> tuple[str, Written]:
    """``TIME SHA256  PATH``, where sha256sum keeps two columns between its two."""
    at, sha256, path = line.split(maxsplit=2)
    return path, Written(sha256, float(at))


def _container(
    item: dict[str, Any], images: Mapping[str, Mapping[str, str]], tags: Mapping[str, str]
) -> ContainerState:
    image = item["Config"]["Image"]
    labels = item["Config"].get("Labels") or {}
    bindings = item["HostConfig"].get("PortBindings") or {}
    health = item["State"].get("Health")
    return ContainerState(
        id=item["Id"],
        image=image,
        outdated=tags.get(image, item["Image"]) != item["Image"],
        digest=labels.get(DIGEST_LABEL, ""),
        version=labels.get(VERSION_LABEL, ""),
        state=item["State"]["Status"],
        health=health["Status"] if health else None,
        started=_seconds(item["State"]["StartedAt"]),
        command=tuple(item["Config"].get("Cmd") or ()),
        environment=_variables(item["Config"].get("Env")),
        image_environment=images.get(item["Image"]),
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
    )


def _seconds(timestamp: str) -> float:
    """RFC 3339 with nanoseconds, of which Python reads six digits only."""
    moment, _, fraction = timestamp.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(moment).replace(tzinfo=timezone.utc).timestamp()
    return seconds + float(f"0.{fraction or 0}")
