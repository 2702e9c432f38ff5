"""A host's report as plain data; facts/machine.py reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePosixPath

from quaylab.engines import DOCKER
from quaylab.engines.state import NOTHING, Engine, EngineState, FoundVolume
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL

# Operating systems, by os-release's ID, that install their engine in the same way.
DEBIAN_FAMILY = ("debian", "ubuntu")
RED_HAT_FAMILY = ("rhel", "centos", "rocky", "almalinux", "ol", "fedora")


@dataclass(frozen=True)
class EngineReport:
    """What one engine of a host reports; see the fields of :class:`Machine` with these names."""

    engine: Engine | None = None
    volumes: tuple[FoundVolume, ...] = ()
    containers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    published: frozenset[int] = frozenset()
    state: EngineState = NOTHING
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ours(self) -> list[str]:
        """The names of what Quaylab has made in the engine."""
        volumes = [each.name for each in self.volumes if CREDENTIALS_LABEL in each.labels]
        return sorted({*volumes, *_own(self.containers)})

    @property
    def is_silent(self) -> bool:
        """Whether the engine is installed and does not answer."""
        return self.engine is not None and self.engine.version is None and not self.engine.is_shim


@dataclass(frozen=True)
class Machine:
    """A host: its system, size, engine and data."""

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
    # Labels of the containers with a name of ours. Without our labels somebody else made them.
    containers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # All IPv4 addresses but loopback's, bridges' included; ``addresses`` are those for peers.
    own_addresses: frozenset[str] = frozenset()
    # Each interface's name and its IPv4 address with the length of its network's prefix.
    networks: tuple[tuple[str, str], ...] = ()
    # Free space in MB by mount point; ports at which any program listens, and those of them that
    # our own containers publish; how many seconds the clock is ahead of ours.
    free_mb: Mapping[str, int] = field(default_factory=dict)
    listening: frozenset[int] = frozenset()
    published: frozenset[int] = frozenset()
    clock_ahead: float = 0
    # Whether the kernel is in FIPS mode, in which old cryptography is refused.
    fips: bool = False
    # Whether systemd uses the kernel's second version of control groups alone.
    cgroup_v2: bool = True
    # Whether fapolicyd runs without a word about /var/lib/ceph, and so denies cephadm's program.
    denies_cephadm: bool = False
    # The note of the database's schema, on Quay's hosts; see upgrade/schema_version.py.
    schema: str | None = None
    # When that note was written, in seconds since 1970 by the host's clock; 0 without a note.
    schema_time: float = 0
    # The note of the database with that schema, on Quay's hosts; see checks/database_location.py.
    database: str | None = None
    # The note of the place of the blobs, on Quay's hosts; see checks/blob_location.py.
    storage: str | None = None
    # The note of the registry that the host serves; see checks/ownership.py.
    registry: str | None = None
    # The note of the engine that the data was moved to; see checks/engine_choice.py.
    engine_note: str | None = None
    # The ids of the clusters with cephadm's daemons on this host, that in /etc/ceph/ceph.conf (or
    # "without fsid"; None: no such file), and the note of the cluster that was bootstrapped here;
    # see services/cephadm.py.
    ceph: frozenset[str] = frozenset()
    ceph_configuration: str | None = None
    bootstrapped_cluster: str | None = None
    # The GB of each OSD that is a file, on the host of a whole cluster; see services/ceph.py.
    ceph_osd_size_gb: int | None = None

    # The host's own name for itself.
    hostname: str = ""
    # Our objects in its engine; the identities of those containers' images, by name; and the notes
    # of images' identities when they were fetched, by path.
    state: EngineState = NOTHING
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    image_notes: Mapping[str, str] = field(default_factory=dict)
    # The reports of all engines by name, and the name of the one that Quaylab uses: engine,
    # volumes, containers, published, state and images are that one's.
    engines: Mapping[str, EngineReport] = field(default_factory=dict)
    container_engine: str = DOCKER.name

    @property
    def own_containers(self) -> frozenset[str]:
        """The names of the containers that Quaylab has made, also of stopped ones."""
        return _own(self.containers)

    def using(self, name: str) -> Machine:
        """Return the host with what one of its engines reports."""
        report = self.engines.get(name)
        found = {each.name: getattr(report, each.name) for each in fields(EngineReport) if report}
        return replace(self, container_engine=name, **found)

    def owned_volumes(self, fingerprint: str) -> list[FoundVolume]:
        """Return the volumes of the registry with this fingerprint of its credentials."""
        return [each for each in self.volumes if each.labels.get(CREDENTIALS_LABEL) == fingerprint]

    @property
    def blob_store(self) -> str | None:
        """The kind of store in the note of the blobs; None without a note."""
        # The owner's fingerprint, the location's name, the kind of store.
        kind = (self.storage or "").split()[2:3]
        return kind[0] if kind else None

    @property
    def hides_data(self) -> bool:
        """Whether there may be unseen volumes, as the engine doesn't answer."""
        return self.engine is not None and self.engine.version is None

    @property
    def lost_its_engine(self) -> bool:
        """Whether there may be unseen volumes, as the engine is not installed although notes say
        that the host has served a registry: a removed package leaves its volumes."""
        return self.engine is None and any((self.registry, self.schema, self.storage))

    @property
    def debian_family(self) -> bool:
        return self.os_id in DEBIAN_FAMILY or "debian" in self.os_like

    @property
    def red_hat_family(self) -> bool:
        return self.os_id in RED_HAT_FAMILY or "rhel" in self.os_like

    @property
    def ships_podman(self) -> bool:
        """Whether its distribution has Podman in Docker's place: RHEL 8 or newer, or kin."""
        return self.red_hat_family and (self.os_id == "fedora" or self.os_major >= 8)

    @property
    def is_rhel_7(self) -> bool:
        """Whether it is RHEL 7 or a clone, with yum and with its own Docker."""
        return self.red_hat_family and self.os_id != "fedora" and self.os_major == 7

    def mount_of(self, path: str) -> str | None:
        """Return the mount point of a path, which may not exist yet; None if none was reported."""
        parents = [str(PurePosixPath(path)), *map(str, PurePosixPath(path).parents)]
        return next((parent for parent in parents if parent in self.free_mb), None)

    @property
    def ca_bundle(self) -> str:
        """The PEM file with all CAs that the host trusts."""
        if self.debian_family:
            return "/etc/ssl/certs/ca-certificates.crt"
        return "/etc/pki/tls/certs/ca-bundle.crt"

    @property
    def os_major(self) -> int:
        return int(self.os_version.split(".")[0] or 0)


def _own(containers: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    return frozenset(name for name, labels in containers.items() if DIGEST_LABEL in labels)
