"""What a host is to have, whatever engine runs it: containers, volumes and files."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

# The label that marks a container as ours and says what it was made from.
DIGEST_LABEL = "io.quaylab.specification"
# Whose a container or a volume is: the fingerprint of the credentials that made it.
CREDENTIALS_LABEL = "io.quaylab.credentials"
VERSION_LABEL = "io.quaylab.version"
# What a data volume holds, in which directory of the host, and for Quay or its stand-in.
DATA_LABEL = "io.quaylab.data"
PATH_LABEL = "io.quaylab.path"
REGISTRY_LABEL = "io.quaylab.registry"

NETWORK = "quaylab"
LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"
RESTART_POLICY = "always"


def container_name(service: str) -> str:
    """The name of a service's container, which is its name on the internal network too."""
    return f"quaylab-{service}"


@dataclass(frozen=True)
class PublishedPort:
    """``container`` (port inside) as ``address``:``host`` outside."""

    container: int
    host: int
    address: str

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.host}:{self.container}"


@dataclass(frozen=True)
class Mount:
    """A volume's name or a host directory at ``target``."""

    source: str
    target: str
    read_only: bool = False


# Whose a container is and how often the engine asks for its health: neither makes it another one,
# so what runs since before is not replaced.
NOT_IN_THE_DIGEST = {"owner", "health_interval"}
# Fields that came after containers bore digests: they count only where they are set.
COUNTED_IF_SET = {"host_network", "capabilities"}


@dataclass(frozen=True)
class Container:
    """All that makes one container.

    ``files`` are the sha256 of the mounted configuration files by path, so that a changed file
    is a changed container. ``owner`` is the fingerprint of the registry's credentials, ``health`` a
    shell command run inside; ``stop_timeout`` and ``health_interval`` are in seconds. One with
    ``host_network`` has no ports of its own.
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
    privileged: bool = False
    devices: tuple[str, ...] = ()
    host_network: bool = False
    capabilities: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The same for the same container, over every run and machine, whosever it is."""
        specified = {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in NOT_IN_THE_DIGEST and (value or name not in COUNTED_IF_SET)
        }
        canonical = json.dumps(specified, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Volume:
    """A data volume of a service's.

    ``path`` is the host directory that holds it, None: the engine's own; ``setting`` names that
    directory, and ``purpose`` says what the volume holds. ``may_be_empty`` is whether one without
    anything in it is as good as new, and ``restore`` what brings its data back beside a backup.
    """

    service: str
    name: str
    path: str | None
    uid: int
    labels: Mapping[str, str]
    setting: str
    purpose: str
    may_be_empty: bool = False
    restore: str = ""

    @property
    def device(self) -> str | None:
        """The directory that the volume is. It lies in ``path``, which may be the mount point of a
        disk: while that is not mounted there is no such directory, and no container starts."""
        return f"{self.path}/{self.name}" if self.path else None


@dataclass(frozen=True)
class ManagedFile:
    """A file as it has to be. The content may be secret and is never shown."""

    path: str
    content: str = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o644

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


def digests(*files: ManagedFile) -> tuple[tuple[str, str], ...]:
    """Files as a container's specification has them."""
    return tuple((file.path, file.sha256) for file in files)


@dataclass(frozen=True)
class FileState:
    """A file as it is."""

    uid: int
    gid: int
    mode: int
    sha256: str

    def differs(self, wanted: ManagedFile) -> str | None:
        """What differs, in words; None if nothing does."""
        if self.sha256 != wanted.sha256:
            return "content"
        if (self.uid, self.gid) != (wanted.uid, wanted.gid):
            return f"owner {self.uid}:{self.gid}"
        if self.mode != wanted.mode:
            return f"mode {self.mode:04o}"
        return None
