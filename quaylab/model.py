"""What a host should have, independent of the engine: containers, volumes and files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

# The label that marks a container as ours and says what it was made from.
DIGEST_LABEL = "io.quaylab.specification"
# The owner of a container or volume: the fingerprint of the credentials that it was made with.
CREDENTIALS_LABEL = "io.quaylab.credentials"
VERSION_LABEL = "io.quaylab.version"
# What a data volume holds, its directory on the host, and whether Quay or the stand-in uses it.
DATA_LABEL = "io.quaylab.data"
PATH_LABEL = "io.quaylab.path"
IMPLEMENTATION_LABEL = "io.quaylab.registry"

NETWORK = "quaylab"
# Has a value on a network that Quaylab made; those of earlier versions lack it.
NETWORK_LABEL = "io.quaylab.network"
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
RESTART_POLICY = "always"
# Shares of the processors, when these are short: of a running container, and of one that starts
# beside others that serve.
NORMAL_SHARES, LOW_SHARES = 1024, 64


def container_name(service: str, instance: int = 1) -> str:
    """Return the name of a service's container, which is also its name on the internal network.

    Args:
        instance: which of several containers of the service on a host, from 1.
    """
    return f"quaylab-{service}" if instance == 1 else f"quaylab-{service}-{instance}"


@dataclass(frozen=True)
class PublishedPort:
    """The port number ``container``, published as the port number ``host`` at ``address``.

    The fields' names are in containers' digests: renaming one would replace every container.
    """

    container: int
    host: int
    address: str

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host}:{self.container}"


@dataclass(frozen=True)
class Mount:
    """A volume (by its name) or a host directory, mounted at ``target``."""

    source: str
    target: str
    read_only: bool = False


# A change of these replaces no container. The last two matter to Podman alone, and a digest is the
# same for both engines.
NOT_IN_THE_DIGEST = {"owner", "health_interval", "seccomp_unconfined", "unlimited_tasks"}
# Fields that were added later: they count only where they are set, so that older digests hold.
COUNTED_IF_SET = {"host_network", "capabilities", "user"}


@dataclass(frozen=True)
class Container:
    """The specification of one container.

    ``files`` are path and sha256 of each mounted configuration file, so a changed file changes the
    digest. ``owner`` is the fingerprint of the registry's credentials, ``health`` a shell command
    run inside. ``stop_timeout`` and ``health_interval`` are in seconds. A container with
    ``host_network`` publishes no ports. ``user`` replaces the image's. One that is
    ``seccomp_unconfined`` goes without Podman's seccomp profile, which denies more than Docker's.
    One with ``unlimited_tasks`` may have more processes and threads than Podman's 2048
    (containers.conf(5), pids_limit); Docker sets no limit.
    """

    name: str
    image: str
    version: str
    owner: str
    health: str
    ports: tuple[PublishedPort, ...]
    mounts: tuple[Mount, ...]
    files: tuple[tuple[str, str], ...]
    log_size: str
    log_files: int
    command: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    stop_timeout: int = 30
    health_interval: int = 10
    # Quay 2.9 asks for it; nothing else gets it.
    privileged: bool = False
    devices: tuple[str, ...] = ()
    host_network: bool = False
    capabilities: tuple[str, ...] = ()
    user: str = ""
    seccomp_unconfined: bool = False
    unlimited_tasks: bool = False

    @property
    def digest(self) -> str:
        """The sha256 of the specification: the same in every run, on every machine."""
        specified = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in NOT_IN_THE_DIGEST and (value or name not in COUNTED_IF_SET)
        }
        canonical = json.dumps(specified, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Volume:
    """A data volume of a service.

    ``path`` is the host directory that contains it (None: the engine's own), and ``setting`` is the
    setting of that directory. ``purpose`` says what the volume holds. An empty volume is no sign of
    lost data if it ``may_be_empty``, nor a missing one if it ``is_replicated``: then other hosts of
    the service have the same data. ``restore`` is a way to restore its data other than a backup.
    """

    service: str
    name: str
    path: str | None
    uid: int
    labels: Mapping[str, str]
    setting: str
    purpose: str
    may_be_empty: bool = False
    is_replicated: bool = False
    restore: str = ""

    @property
    def device(self) -> str | None:
        """The volume's directory on the host: a folder in ``path``, so that it is missing while a
        disk at ``path`` isn't mounted; no container starts then."""
        return f"{self.path}/{self.name}" if self.path else None


@dataclass(frozen=True)
class ManagedFile:
    """A file as it should be. The content may be secret and is never shown."""

    path: str
    content: str = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o644

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


def digests(*files: ManagedFile) -> tuple[tuple[str, str], ...]:
    """Return path and sha256 of each file, as in :attr:`Container.files`."""
    return tuple((file.path, file.sha256) for file in files)


@dataclass(frozen=True)
class FileState:
    """A file as it is on a host."""

    uid: int
    gid: int
    mode: int
    sha256: str

    def differs(self, wanted: ManagedFile) -> str | None:
        """Return in words what differs; None: nothing."""
        if self.sha256 != wanted.sha256:
            return "content"
        if (self.uid, self.gid) != (wanted.uid, wanted.gid):
            return f"owner {self.uid}:{self.gid}"
        if self.mode != wanted.mode:
            return f"mode {self.mode:04o}"
        return None
