"""What an engine has of ours, and how it differs from what a host is to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quaylab.model import NETWORK, RESTART_POLICY, Container


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
class FoundVolume:
    """A volume that has a name of ours, with its labels; without ours somebody else made it.

    ``device`` is the host directory that it is, None: the engine's own. ``missing`` is whether that
    directory is not there, as while its disk is not mounted; ``empty`` whether nothing is in it.
    """

    name: str
    labels: Mapping[str, str]
    device: str | None = None
    missing: bool = False
    empty: bool = False


@dataclass(frozen=True)
class EngineState:
    """What the engine holds of ours, networks with their ids, and our files by path;
    ``network_is_internal`` is whether ours has no way out, nor one in for published ports."""

    containers: Mapping[str, ContainerState]
    networks: Mapping[str, str]
    volumes: tuple[str, ...]
    files: Mapping[str, Written]
    network_is_internal: bool = False

    def change(self, wanted: Container) -> str | None:
        """What has to be done for a container to run as specified: ``replace``, ``start``,
        ``unpause``, ``restart``, ``restart policy``, or nothing. Its health is another question."""
        found = self.containers.get(wanted.name)
        if found is None or found.digest != wanted.digest or not self._is_made_as(found, wanted):
            return "replace"
        if found.state == "paused":
            return "unpause"
        if found.state != "running":
            return "start"
        if any(self._misread(path, sha256, found) for path, sha256 in wanted.files):
            return "restart"
        return "restart policy" if found.restart_policy != RESTART_POLICY else None

    def _misread(self, path: str, sha256: str, reader: ContainerState) -> bool:
        """Whether a container may have read a file as it was before this run put it right, or,
        while the run is planned, before it will."""
        file = self.files.get(path)
        return file is None or file.sha256 != sha256 or file.at > reader.started

    def _is_made_as(self, found: ContainerState, wanted: Container) -> bool:
        """Whether a container is what its label says: it may have been made by hand."""
        environment = {**(found.image_environment or {}), **dict(wanted.environment)}
        return (
            found.image == wanted.image
            and not found.outdated
            and (wanted.host_network or self._is_on_our_network(found))
            and found.ports == {str(port) for port in wanted.ports}
            and all(found.mounts.get(mount.target) == mount.source for mount in wanted.mounts)
            and (not wanted.command or found.command == wanted.command)
            and (found.image_environment is None or found.environment == environment)
        )

    def _is_on_our_network(self, found: ContainerState) -> bool:
        # Of a network that was removed and made anew, a container has the name and the old id.
        return NETWORK in found.networks and found.networks[NETWORK] in (
            "",
            self.networks.get(NETWORK),
        )


# An engine that isn't there, or doesn't run.
NOTHING = EngineState({}, {}, (), {})
