"""What an engine says of itself, of our containers and of our volumes, and how these differ from
their specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quaylab.images import full_name
from quaylab.model import NETWORK, NORMAL_SHARES, RESTART_POLICY, Container


@dataclass(frozen=True)
class Engine:
    """A container engine. ``version`` is None if it does not answer. ``unsupported`` says why
    Quaylab can't use it. ``proxies`` are its HTTP_PROXY, HTTPS_PROXY and NO_PROXY, empty if unset.
    With ``live_restore`` containers keep running while it restarts. ``is_shim`` is whether it is
    only another engine's command of this name."""

    version: str | None
    root_directory: str | None
    unsupported: str | None
    proxies: tuple[str, str, str] = ("", "", "")
    live_restore: bool = False
    is_shim: bool = False


@dataclass(frozen=True)
class ContainerState:
    """A container as the engine reports it.

    ``image_was_retagged`` is whether its image's name now belongs to another image. ``health`` is
    None without a health check. ``environment`` includes the image's, which ``image_environment``
    has alone (None if the image is gone). ``started`` is in seconds since the epoch. ``networks``
    are ids by name; the id is empty until the first start. ``cpu_shares`` is 0 if it was never set.
    """

    id: str
    image: str
    image_was_retagged: bool
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
    cpu_shares: int = 0


@dataclass(frozen=True)
class WrittenFile:
    """The sha256 of a file, and the time of its last change in seconds since the epoch."""

    sha256: str
    at: float


@dataclass(frozen=True)
class FoundVolume:
    """A volume with a name of ours. If it lacks our labels, somebody else made it.

    ``device`` is its host directory (None: the engine's own). ``missing`` is whether that directory
    doesn't exist, for example while its disk is not mounted; ``empty`` is whether it is empty.
    """

    name: str
    labels: Mapping[str, str]
    device: str | None = None
    missing: bool = False
    empty: bool = False


@dataclass(frozen=True)
class EngineState:
    """Our containers, networks (ids by name), volumes, and files by path. If
    ``network_is_internal``, our network has no route outside and publishes no ports. If
    ``admits_more``, containers may have more variables and ports than specified: the host's
    administrator has given them."""

    containers: Mapping[str, ContainerState]
    networks: Mapping[str, str]
    volumes: tuple[str, ...]
    files: Mapping[str, WrittenFile]
    network_is_internal: bool = False
    admits_more: bool = False

    def change(self, wanted: Container) -> str | None:
        """Return what has to be done for a container to run as specified; health is not checked.

        Returns:
            ``replace``, ``start``, ``unpause``, ``restart``, ``update``, or None.
        """
        found = self.containers.get(wanted.name)
        if found is None or found.digest != wanted.digest or not self._matches(found, wanted):
            return "replace"
        if found.state == "paused":
            return "unpause"
        if found.state != "running":
            return "start"
        if any(self._has_read_another(path, sha256, found) for path, sha256 in wanted.files):
            return "restart"
        # A killed run leaves a container that it has started with few shares.
        is_normal = found.cpu_shares in (0, NORMAL_SHARES)
        return None if is_normal and found.restart_policy == RESTART_POLICY else "update"

    def _has_read_another(self, path: str, sha256: str, reader: ContainerState) -> bool:
        """Whether a container may have read an older version of a file. While a run is planned, the
        new content may not have been written yet; that counts too."""
        file = self.files.get(path)
        return file is None or file.sha256 != sha256 or file.at > reader.started

    def _matches(self, found: ContainerState, wanted: Container) -> bool:
        """Whether a container is as its digest says: somebody may have created it by hand."""
        environment = {**(found.image_environment or {}), **dict(wanted.environment)}
        ports = {str(port) for port in wanted.ports}
        if self.admits_more:
            environment, ports = {**found.environment, **environment}, ports | found.ports
        return (
            full_name(found.image) == full_name(wanted.image)
            and not found.image_was_retagged
            and (wanted.host_network or self._is_on_our_network(found))
            and found.ports == ports
            and all(found.mounts.get(mount.target) == mount.source for mount in wanted.mounts)
            and (not wanted.command or found.command == wanted.command)
            and (found.image_environment is None or found.environment == environment)
        )

    def _is_on_our_network(self, found: ContainerState) -> bool:
        # After a network was removed and created again, a container still has its old id.
        return NETWORK in found.networks and found.networks[NETWORK] in (
            "",
            self.networks.get(NETWORK),
        )


# The state of an engine that is not installed, or doesn't run.
NOTHING = EngineState({}, {}, (), {})
