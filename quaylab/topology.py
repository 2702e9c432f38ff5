"""Who plays which part, and at which address: worked out in one place."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from quaylab.problems import refuse
from quaylab.settings import HostInput, HostSettings, Settings
from quaylab.settings.types import FULL_NAME

LOOPBACK = "127.0.0.1"
DEFAULT_HOSTNAME = "quay.quaylab.lan"
# Ports inside the containers, and by default outside as well.
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306}
REDIS_PORT = 6379
# Ceph's own for its S3 gateway.
RADOSGW_PORT = 7480
GOOGLE_STORAGE = "storage.googleapis.com"


@dataclass(frozen=True)
class Service:
    """A service that Quay uses.

    ``address`` and ``port`` stand in Quay's config.yaml; ``probe_address`` and ``probe_port`` are
    how Quay's host itself reaches the same service. ``host`` (None: it runs elsewhere) is who
    runs it, and ``listen`` the address at which ``probe_port`` is published there.
    """

    host: str | None
    address: str
    port: int
    probe_address: str
    probe_port: int
    listen: str | None


@dataclass(frozen=True)
class Store(Service):
    """An object store: its kind as in the setting ``storage``, and whether it is reached by TLS."""

    kind: str
    tls: bool

    @property
    def netloc(self) -> str:
        """``host[:port]``, as in its addresses."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        usual = self.port == (443 if self.tls else 80)
        return address if usual else f"{address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.netloc}"


@dataclass(frozen=True)
class Topology:
    """The parts of a run and their addresses. ``quay`` is never empty; its first is the leader.

    ``store`` is None while the blobs are kept in a volume on Quay's host; ``ceph`` are the
    addresses, by host, of the cluster that serves it if it is ours.
    """

    hostname: str
    https_port: int
    quay: tuple[str, ...]
    quay_address: str
    database: Service
    redis: Service
    store: Store | None
    ceph: Mapping[str, str] = field(default_factory=dict)

    @property
    def leader(self) -> str:
        return self.quay[0]

    @property
    def registry(self) -> str:
        """SERVER_HOSTNAME, and what a Docker client puts before an image's name."""
        return self.hostname if self.https_port == 443 else f"{self.hostname}:{self.https_port}"

    @property
    def docker_trust(self) -> str:
        """Where Docker looks for the CA of this registry, on clients and on the lab's hosts."""
        return docker_trust(self.registry)

    @property
    def url(self) -> str:
        return f"https://{self.registry}"

    def engine_hosts(self) -> tuple[str, ...]:
        """Hosts that need a container engine."""
        parts = (*self.ceph, self.database.host, self.redis.host, *self.quay)
        return tuple(dict.fromkeys(host for host in parts if host is not None))


def build(
    settings: Settings,
    hosts: list[HostInput],
    own: Mapping[str, HostSettings],
    reported: Mapping[str, tuple[str, ...]],
) -> Topology:
    """The topology of an inventory.

    Args:
        reported: each connected host's own addresses, as it reports them.

    Raises:
        Refusal: parts that are missing, doubled, or that can't reach each other.
    """
    problems: list[str] = []
    members = {
        group: [host.name for host in hosts if group in host.groups]
        for group in ("quay", "database", "redis", "ceph")
    }
    by_name = {host.name: host for host in hosts}

    def address(name: str) -> str:
        """A host's address for its peers; loopback is a placeholder once a problem is noted."""
        explicit = own[name].address
        if explicit:
            return explicit
        for candidate in (by_name[name].data.get("ssh_hostname"), name):
            if _is_ip(candidate):
                return str(candidate)
        candidates = reported.get(name, ())
        if len(candidates) == 1:
            return candidates[0]
        seen = ", ".join(candidates) or "none reported"
        problems.append(
            f"address: {name} needs one for its peers (found: {seen}); set `address` in its data"
        )
        return LOOPBACK

    def service(
        part: str, elsewhere: str | None, inside: int, port: int, listen: str | None
    ) -> Service:
        group = members[part]
        if elsewhere and group:
            problems.append(
                f"{part}_host: {elsewhere} runs elsewhere, but group `{part}` has {group[0]}: "
                "drop one of the two"
            )
        if elsewhere:
            return Service(None, elsewhere, port, elsewhere, port, None)
        if not group:
            problems.append(
                f"{part}: no host in group `{part}`; put one there, or set {part}_host to one "
                "that runs elsewhere"
            )
            return Service(None, LOOPBACK, port, LOOPBACK, port, None)
        if len(group) > 1:
            problems.append(
                f"{part}: {len(group)} hosts in group `{part}`, but one can hold the data; keep one"
            )
        host = group[0]
        if members["quay"] == [host]:
            # Both on one host: by container name on the internal network, published on
            # loopback for its operator and for our own probes.
            outside = listen or LOOPBACK
            return Service(host, container_name(part), inside, outside, port, outside)
        there = address(host)
        return Service(host, there, port, there, port, listen or there)

    quay = members["quay"]
    kind = storage_kind(settings, hosts)
    store, ceph = None, {}
    if not quay:
        problems.append("quay: no host in group `quay`; name the registry's host in the inventory")
    if len(quay) > 1:
        problems.append(
            f"quay: {len(quay)} hosts in group `quay`, but "
            + ("" if kind != "local" else "local storage serves one only, and ")
            + "no balancer stands before them; keep one"
        )
    inside = DATABASE_PORTS[settings.database_engine]
    database = service(
        "database",
        settings.database_host,
        inside,
        settings.database_port or inside,
        settings.database_listen,
    )
    redis = service(
        "redis", settings.redis_host, REDIS_PORT, settings.redis_port, settings.redis_listen
    )

    if members["ceph"] and settings.storage_host:
        problems.append(
            f"storage_host: {settings.storage_host} runs elsewhere, but group `ceph` has "
            f"{members['ceph'][0]}: drop one of the two"
        )
    elif members["ceph"] and kind != "radosgw":
        problems.append(
            f"storage: {kind}, but group `ceph` has {members['ceph'][0]}, which serves as radosgw; "
            "leave storage out, or the group empty"
        )
    elif len(members["ceph"]) == 2:
        problems.append(
            "ceph: 2 hosts in group `ceph`, and two can't outvote each other; keep one, or take "
            "three or more"
        )
    elif members["ceph"]:
        ceph = {name: address(name) for name in members["ceph"]}
        there = ceph[members["ceph"][0]]
        port = settings.storage_port or RADOSGW_PORT
        tls = settings.storage_tls
        store = Store(members["ceph"][0], there, port, there, port, there, kind, tls)
    elif kind == "radosgw" and not settings.storage_host:
        problems.append(
            "storage_host: not set; put a host in group `ceph`, or name a gateway that runs "
            "elsewhere"
        )
    else:
        store = _store_elsewhere(settings, kind)

    alone = {host.name for host in hosts} == set(quay)
    # Asked for only where a peer needs it.
    quay_address = LOOPBACK if alone or not quay else address(quay[0])
    hostname = registry_name(settings, quay)
    if _is_ip(hostname):
        problems.append(
            f"server_hostname: {hostname} is an address; a name is needed, for the certificate "
            f"and because Docker skips TLS checks on 127.0.0.0/8: for example {DEFAULT_HOSTNAME}"
        )
    if settings.quay_http_port == settings.quay_https_port:
        problems.append(
            f"quay_http_port: {settings.quay_http_port} is quay_https_port too; take another"
        )
    refuse(problems)
    https_port = settings.quay_https_port
    return Topology(hostname, https_port, tuple(quay), quay_address, database, redis, store, ceph)


def storage_kind(settings: Settings, hosts: list[HostInput]) -> str:
    """Where blobs are kept: what `storage` says, or what follows from the inventory."""
    ours = any("ceph" in host.groups for host in hosts)
    return settings.storage or ("radosgw" if ours else "local")


def _store_elsewhere(settings: Settings, kind: str) -> Store | None:
    """An object store that somebody else runs. Its settings are checked in object_storage.py."""
    if kind == "local":
        return None
    address, tls = settings.storage_host or LOOPBACK, settings.storage_tls
    port = settings.storage_port or (443 if tls else 80)
    if kind == "gcs":
        address = GOOGLE_STORAGE
    elif kind == "s3" and settings.storage_region:
        # As Quay makes it.
        china = ".cn" if settings.storage_region.startswith("cn-") else ""
        address = f"s3.{settings.storage_region}.amazonaws.com{china}"
    elif kind == "swift":
        url = urlsplit(settings.swift_auth_url or "")
        address, tls = url.hostname or LOOPBACK, url.scheme == "https"
        port = url.port or (443 if tls else 80)
    return Store(None, address, port, address, port, None, kind, tls)


def registry_name(settings: Settings, quay: list[str]) -> str:
    """SERVER_HOSTNAME, by the names of Quay's hosts."""
    return settings.server_hostname or _full_name(quay) or DEFAULT_HOSTNAME


def docker_trust(registry: str) -> str:
    """The file in which Docker looks for a registry's CA; it is read at each connection."""
    return f"/etc/docker/certs.d/{registry}/ca.crt"


def container_name(part: str) -> str:
    """The name of a part's container, which is its name on the internal network too."""
    return f"quaylab-{part}"


def _full_name(quay: list[str]) -> str | None:
    """The Quay host's name in the inventory, if it is a full DNS name."""
    name = quay[0].lower() if quay else ""
    return name if FULL_NAME.fullmatch(name) and not _is_ip(name) else None


def _is_ip(text: object) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True
