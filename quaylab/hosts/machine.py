"""What a host reports of itself, as pure data; facts/machine.py reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from quaylab.engines.state import NOTHING, EngineState, FoundVolume

# Operating systems by os-release's ID that get their engine in the same way.
DEBIAN_FAMILY = ("debian", "ubuntu")
RED_HAT_FAMILY = ("rhel", "centos", "rocky", "almalinux", "ol", "fedora")


@dataclass(frozen=True)
class Engine:
    """The container engine. ``version`` is None while the daemon does not answer; ``proxies`` are
    its own HTTP_PROXY, HTTPS_PROXY and NO_PROXY, empty where unset; ``live_restore`` is whether
    containers go on while it restarts."""

    version: str | None
    storage_driver: str | None
    root_directory: str | None
    unsupported: str | None
    proxies: tuple[str, str, str] = ("", "", "")
    live_restore: bool = False


@dataclass(frozen=True)
class Machine:
    """A host: identity, size, engine and the data it bears."""

    uid: int
    os_id: str
    os_version: str
    os_like: tuple[str, ...]
    architecture: str
    cpus: int
    memory_mb: int
    systemd: bool
    addresses: tuple[str, ...]
    engine: Engine | None
    volumes: tuple[FoundVolume, ...]
    # Labels of the containers that have a name of ours; without ours somebody else made them.
    containers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # All addresses in IPv4 but loopback's; those of bridges are none at which peers reach it.
    own_addresses: frozenset[str] = frozenset()
    # Free space in MB by mount point; ports that something listens on, and those of them that
    # our own containers publish; how far the clock is ahead of ours, in seconds.
    free_mb: Mapping[str, int] = field(default_factory=dict)
    listening: frozenset[int] = frozenset()
    published: frozenset[int] = frozenset()
    clock_ahead: float = 0
    # The note of the schema, which the leader has; see upgrade/schema_version.py.
    schema: str | None = None
    # Its note of where the blobs are; see checks/blob_location.py.
    storage: str | None = None
    # The note of the registry that the host serves; see checks/ownership.py.
    registry: str | None = None
    # The ids of the clusters whose daemons cephadm keeps here, and the note of the one that a
    # bootstrap made here; see operations/cephadm.py.
    ceph: frozenset[str] = frozenset()
    ceph_made: str | None = None

    # As the host itself says.
    hostname: str = ""
    # All that its engine has of ours; what identifies the images of those containers, by name; and
    # the notes of what identified images when they were fetched, by path.
    state: EngineState = NOTHING
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    image_notes: Mapping[str, str] = field(default_factory=dict)

    @property
    def blob_store(self) -> str | None:
        """The kind of store that its note of the blobs names; None without a note."""
        # Whose they are, the location's name, and the kind of store.
        kind = (self.storage or "").split()[2:3]
        return kind[0] if kind else None

    @property
    def hides_data(self) -> bool:
        """Whether there may be volumes that can't be seen, as the engine doesn't answer."""
        return self.engine is not None and self.engine.version is None

    @property
    def debian_family(self) -> bool:
        return self.os_id in DEBIAN_FAMILY or "debian" in self.os_like

    @property
    def red_hat_family(self) -> bool:
        return self.os_id in RED_HAT_FAMILY or "rhel" in self.os_like

    @property
    def is_rhel_7(self) -> bool:
        """RHEL 7 or kin, with yum, and with a Docker of its own."""
        return self.red_hat_family and self.os_id != "fedora" and self.os_major == 7

    def mount_of(self, path: str) -> str | None:
        """The mount point that a path lies on or will lie on; None if none was reported."""
        parents = [str(PurePosixPath(path)), *map(str, PurePosixPath(path).parents)]
        return next((parent for parent in parents if parent in self.free_mb), None)

    @property
    def ca_bundle(self) -> str:
        """The PEM file of all CAs that the host trusts."""
        if self.debian_family:
            return "/etc/ssl/certs/ca-certificates.crt"
        return "/etc/pki/tls/certs/ca-bundle.crt"

    @property
    def os_major(self) -> int:
        return int(self.os_version.split(".")[0] or 0)
