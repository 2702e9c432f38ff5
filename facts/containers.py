"""Our containers, networks and volumes, and the images that a host has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.containers import DIGEST_LABEL, VERSION_LABEL


@dataclass(frozen=True)
class ContainerState:
    """A container as it is. ``health`` is None for one without a health check."""

    id: str
    image: str
    digest: str
    version: str
    state: str
    health: str | None
    restart_policy: str
    networks: tuple[str, ...]
    ports: Mapping[str, tuple[str, ...]]
    mounts: Mapping[str, str]


@dataclass(frozen=True)
class EngineState:
    """What the engine holds of ours."""

    containers: Mapping[str, ContainerState]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]


class Engine(FactBase[EngineState]):
    """Containers, networks and volumes of Quaylab's, in one command."""

    def requires_command(self) -> str:
        return "docker"

    def command(self) -> str:
        return (
            f"containers=$(docker ps --all --quiet --filter label={DIGEST_LABEL} 2>/dev/null); "
            'test -z "$containers" || docker inspect $containers; '
            "docker network ls --filter name=quaylab --format 'network {{.Name}}' 2>/dev/null; "
            "docker volume ls --filter label=io.quaylab.data --format 'volume {{.Name}}' "
            "2>/dev/null || :"  # an engine that doesn't run yet holds nothing
        )

    @staticmethod
    def default() -> EngineState:
        return EngineState({}, (), ())

    def process(self, output: list[str]) -> EngineState:
        names: dict[str, list[str]] = {"network": [], "volume": []}
        inspected: list[str] = []
        for line in output:
            kind, _, name = line.partition(" ")
            if kind in names and name:
                names[kind].append(name)
            else:
                inspected.append(line)
        try:
            containers = json.loads("\n".join(inspected) or "[]")
        except ValueError as error:
            raise FactProcessError(f"docker inspect: {error}") from error
        return EngineState(
            {item["Name"].lstrip("/"): _container(item) for item in containers},
            tuple(names["network"]),
            tuple(names["volume"]),
        )


class ImageIds(FactBase[dict[str, str]]):
    """The ids of those of some images that a host has."""

    def requires_command(self, references: list[str]) -> str:
        return "docker"

    def command(self, references: list[str]) -> StringCommand:
        names = [QuoteString(reference) for reference in references]
        return StringCommand(
            "for image in",
            *names,
            "; do docker image inspect --format",
            QuoteString("{{.Id}}"),
            '"$image" 2>/dev/null | sed "s|^|$image |"; done',
        )

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        return {name: id for name, _, id in (line.partition(" ") for line in output) if id}


class Healthy(FactBase[bool]):
    """Whether a container's own health check is content right now.

    The engine asks on its own only every few seconds, so a container that was just started is
    "starting" for it although it is healthy.
    """

    def requires_command(self, container: str, check: str) -> str:
        return "docker"

    def command(self, container: str, check: str) -> StringCommand:
        return StringCommand(
            "docker exec",
            container,
            "sh -c",
            QuoteString(check),
            ">/dev/null 2>&1 && echo yes || :",
        )

    @staticmethod
    def default() -> bool:
        return False

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]


def _container(item: dict[str, Any]) -> ContainerState:
    labels = item["Config"].get("Labels") or {}
    bindings = item["HostConfig"].get("PortBindings") or {}
    health = item["State"].get("Health")
    return ContainerState(
        id=item["Id"],
        image=item["Config"]["Image"],
        digest=labels.get(DIGEST_LABEL, ""),
        version=labels.get(VERSION_LABEL, ""),
        state=item["State"]["Status"],
        health=health["Status"] if health else None,
        restart_policy=item["HostConfig"]["RestartPolicy"]["Name"],
        networks=tuple(item["NetworkSettings"]["Networks"]),
        ports={
            inside: tuple(f"{bound['HostIp']}:{bound['HostPort']}" for bound in outside or [])
            for inside, outside in bindings.items()
        },
        mounts={
            mount["Destination"]: mount.get("Name") or mount["Source"] for mount in item["Mounts"]
        },
    )
