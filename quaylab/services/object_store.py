"""The object store of the blobs, our Ceph or an external one, and Quay's driver for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from pydantic import BaseModel, Field, SecretStr

from quaylab.endpoints import StoreEndpoint
from quaylab.model import LOOPBACK
from quaylab.secrets import certificates, making
from quaylab.secrets.passwords import OBJECT_STORE
from quaylab.services.base import Groups, Maker, Need, Secret, Service
from quaylab.settings.types import (
    Address,
    Bucket,
    HostPath,
    Identifier,
    Line,
    LocalFile,
    PortNumber,
    Region,
    Section,
    Url,
)
from quaylab.versions import is_legacy, parse, quay_version

if TYPE_CHECKING:
    from quaylab.secrets.credentials import Credentials
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

# The options of Quay's Swift client; which of them are needed depends on the OpenStack.
SwiftOption = Literal[
    "tenant_name",
    "tenant_id",
    "project_name",
    "project_id",
    "user_domain_name",
    "user_domain_id",
    "project_domain_name",
    "project_domain_id",
    "region_name",
    "endpoint_type",
    "service_type",
]


class ObjectStoreSettings(Section):
    """Where the images' blobs are stored."""

    storage: Literal["local", "radosgw", "s3", "gcs", "swift"] | None = Field(
        description="Where the blobs are stored: local (a volume), radosgw (Ceph), s3 (AWS and "
        "compatible), gcs (Google) or swift (OpenStack); None: local, or radosgw with a host in "
        "group `ceph`",
    )
    storage_host: Address | None = Field(
        description="The object store's end point; None: AWS's of storage_region, Google's, or "
        "that of group `ceph`",
    )
    storage_port: PortNumber | None = Field(
        description="Its port; None: 443, without TLS 80, and 7480 in group `ceph`"
    )
    storage_tls: bool = Field(description="Whether it is reached over TLS, which is verified")
    storage_ca: LocalFile | None = Field(
        description="Its CA (PEM) on this machine; None: a public one",
    )
    storage_region: Region | None = Field(
        description="Its region, which s3 needs unless storage_host is set"
    )
    storage_bucket: Bucket = Field(description="Bucket of the blobs, with swift their container")
    storage_path: HostPath = Field(description="Prefix of the blobs' names in the bucket")
    storage_location: Identifier = Field(
        description="Quay's name for the store; Quay finds blobs by it, so never change it"
    )
    storage_proxy: bool = Field(
        description="Whether Quay sends the blobs itself, for clients that can't reach the object "
        "store",
    )
    storage_iam_role: bool = Field(
        description="With s3: whether to use the IAM role of Quay's machine instead of keys",
    )
    swift_auth_url: Url | None = Field(
        description="With swift: URL of its tokens, including the version, such as /v3",
    )
    swift_auth_version: Literal[1, 2, 3] = Field(
        description="With swift: 1 (its own), 2 or 3 (Keystone)"
    )
    swift_options: dict[SwiftOption, Line] = Field(
        description="With swift 2 and 3: os_options; 3 needs tenant_id and user_domain_name",
    )


class ObjectStoreSecrets(BaseModel):
    storage_access_key: SecretStr | None = None
    storage_secret_key: SecretStr | None = None


NAME = "object_store"
# Where a local store's volume is mounted, and the blobs in it.
MOUNT = "/datastorage"
LOCAL_PATH = f"{MOUNT}/registry"
# Ceph's own port for its S3 gateway.
RADOSGW_PORT = 7480
GOOGLE_STORAGE = "storage.googleapis.com"
# The settings that each kind of store accepts besides path and location.
_S3 = (
    "storage_bucket",
    "storage_host",
    "storage_port",
    "storage_tls",
    "storage_ca",
    "storage_region",
    "storage_proxy",
)
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "radosgw": _S3,
    "s3": (*_S3, "storage_iam_role"),
    "gcs": ("storage_bucket", "storage_proxy"),
    "swift": (
        "storage_bucket",
        "storage_ca",
        "swift_auth_url",
        "swift_auth_version",
        "swift_options",
    ),
}
# Settings that every kind accepts.
ALWAYS_ALLOWED = ("storage", "storage_path", "storage_location")
# The options that Quay checks at its start with version 3; Swift itself has other names for them.
SWIFT_3_OPTIONS: Mapping[SwiftOption, str] = {
    "tenant_id": "the project's id",
    "user_domain_name": "the name of the user's domain, such as Default",
}
# As in group_data/all.py, which a test compares: other values were set by the user.
DEFAULTS: Mapping[str, object] = {
    "storage_bucket": "quay-storage",
    "storage_tls": True,
    "swift_auth_version": 3,
}
# Driver, and its names for access key, secret key and bucket. With an unknown driver Quay would
# silently store blobs in memory.
DRIVERS = {
    "radosgw": ("RadosGWStorage", "access_key", "secret_key", "bucket_name"),
    "s3": ("S3Storage", "s3_access_key", "s3_secret_key", "s3_bucket"),
    "gcs": ("GoogleCloudStorage", "access_key", "secret_key", "bucket_name"),
    "swift": ("SwiftStorage", "swift_user", "swift_password", "swift_container"),
}


class ObjectStore(Service):
    """The object store. It has no hosts of its own: ours is a part of Ceph."""

    name = NAME
    title = "Object store"
    secrets = (
        Secret(
            "storage_access_key",
            "access key (with Swift the user) of the object store",
            OBJECT_STORE,
            making.access_key,
        ),
        Secret(
            "storage_secret_key",
            "secret key (with Swift the password) of the object store",
            OBJECT_STORE,
            making.secret_key,
        ),
    )

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        yield from _setting_problems(settings, kind(settings, groups))
        if settings.storage_ca:
            yield from certificates.authority_problems("storage_ca", settings.storage_ca)

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        if kind(settings, groups) == "local" or settings.storage_iam_role:
            return
        maker = Maker.QUAYLAB if _is_ours(settings, groups) else Maker.OTHERS
        yield Need("storage_access_key", maker, is_rotated=False)
        yield Need("storage_secret_key", maker)

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        ceph, wanted = groups["ceph"], kind(settings, groups)
        if hosts := groups[self.name]:
            yield (
                f"{self.name}: {hosts[0]} is in group `{self.name}`, which takes no hosts; "
                "put it in group `ceph`, or name an external store in storage_host"
            )
        if ceph and settings.storage_host:
            yield (
                f"storage_host: {settings.storage_host} runs elsewhere, but group `ceph` has "
                f"{ceph[0]}: drop one of the two"
            )
        elif ceph and wanted != "radosgw":
            yield (
                f"storage: {wanted}, but group `ceph` has {ceph[0]}, which serves as radosgw; "
                "leave storage out, or the group empty"
            )
        elif not ceph and wanted == "radosgw" and not settings.storage_host:
            yield (
                "storage_host: not set; put a host in group `ceph`, or name a gateway that runs "
                "elsewhere"
            )

    def endpoint(
        self, settings: Settings, groups: Groups, address: Callable[[str], str]
    ) -> StoreEndpoint | None:
        store_kind, tls = kind(settings, groups), settings.storage_tls
        if store_kind == "local":
            return None
        if balancers := ingress_hosts(groups):
            front, port = _front(settings, balancers, address), settings.ingress_port
            return StoreEndpoint(balancers, front, port, front, port, None, store_kind, tls)
        if ceph := groups["ceph"]:
            port, gateway = gateway_port(settings), address(ceph[0])
            return StoreEndpoint((ceph[0],), gateway, port, gateway, port, gateway, store_kind, tls)
        host = settings.storage_host or LOOPBACK
        port = settings.storage_port or (443 if tls else 80)
        if store_kind == "gcs":
            host = GOOGLE_STORAGE
        elif store_kind == "s3" and settings.storage_region:
            # The address that Quay's driver uses.
            china = ".cn" if settings.storage_region.startswith("cn-") else ""
            host = f"s3.{settings.storage_region}.amazonaws.com{china}"
        elif store_kind == "swift":
            url = urlsplit(settings.swift_auth_url or "")
            host, tls = url.hostname or LOOPBACK, url.scheme == "https"
            port = url.port or (443 if tls else 80)
        return StoreEndpoint((), host, port, host, port, None, store_kind, tls)


def kind(settings: Settings, groups: Groups) -> str:
    """Return the kind of store: the setting `storage`, or what follows from the inventory."""
    return settings.storage or ("radosgw" if groups["ceph"] else "local")


def gateway_port(settings: Settings) -> int:
    """Return the port of Ceph's gateways on their own hosts."""
    return settings.storage_port or RADOSGW_PORT


def ingress_hosts(groups: Groups) -> tuple[str, ...]:
    """Return the balancers if they lead to the gateways of several hosts; else none."""
    return tuple(groups["balancer"]) if len(groups["ceph"]) > 1 else ()


def _front(settings: Settings, balancers: tuple[str, ...], address: Callable[[str], str]) -> str:
    """Return the address that all balancers share, or the registry's name, which leads to all."""
    if settings.virtual_address:
        return settings.virtual_address
    # Without a name the topology is refused.
    return address(balancers[0]) if len(balancers) == 1 else settings.server_hostname or LOOPBACK


def _is_ours(settings: Settings, groups: Groups) -> bool:
    return kind(settings, groups) == "radosgw" and settings.storage_host is None


def config(settings: Settings, topology: Topology, credentials: Credentials) -> dict[str, Any]:
    """Return the keys of config.yaml that set the store of the blobs."""
    location = settings.storage_location
    store = topology.object_store
    driver: list[Any] = ["LocalStorage", {"storage_path": LOCAL_PATH}]
    if store:
        name, access, secret, bucket = DRIVERS[store.kind]
        arguments = {bucket: settings.storage_bucket, "storage_path": settings.storage_path}
        keys = credentials.storage_access_key, credentials.storage_secret_key
        if all(keys) and not settings.storage_iam_role:
            plain = [key.get_secret_value() for key in keys if key]
            arguments |= dict(zip((access, secret), plain, strict=True))
        driver = [name, arguments | _end_point(settings, store)]
    return {
        "DISTRIBUTED_STORAGE_CONFIG": {location: driver},
        "DISTRIBUTED_STORAGE_PREFERENCE": [location],
        "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS": [location],
        "FEATURE_PROXY_STORAGE": settings.storage_proxy,
    }


def keys_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the credentials in a result of :func:`config`, by their names in our credentials."""
    (driver, arguments), *_ = config["DISTRIBUTED_STORAGE_CONFIG"].values()
    for name, access, secret, _ in DRIVERS.values():
        if name == driver and access in arguments:
            return {
                "storage_access_key": arguments[access],
                "storage_secret_key": arguments[secret],
            }
    return {}


def _setting_problems(settings: Settings, kind: str) -> Iterator[str]:
    """Yield problems with settings of the store that don't go together."""
    for key in ObjectStoreSettings.model_fields:
        value = getattr(settings, key)
        is_set = value != DEFAULTS[key] if key in DEFAULTS else value not in (None, False, {})
        if key in ALLOWED[kind] or key in ALWAYS_ALLOWED or not is_set:
            continue
        yield f"{key}: has no meaning with {kind} storage; leave it out, or set `storage`"
    if kind != "local" and settings.quay_storage_path:
        yield (
            "quay_storage_path: is for local storage, and so is quay_storage; leave both out (a "
            "disk stays mounted, with its blobs); an object store has storage_path"
        )
    if kind != "local" and is_legacy(quay_version(settings)):
        yield (
            f"storage: {quay_version(settings)} gets its object store in its own set-up "
            "page; leave it at local, or take Quay 3"
        )
    if kind == "local" and settings.storage_path != LOCAL_PATH:
        yield "storage_path: is for object storage; a local one has quay_storage_path"
    if settings.storage_ca and not settings.storage_tls:
        yield "storage_ca: is for TLS, and storage_tls is False; leave out one of the two"
    if kind == "radosgw":
        yield from _radosgw_problems(settings)
    if kind == "s3":
        yield from _s3_problems(settings)
    if kind == "swift":
        yield from _swift_problems(settings)


def _swift_problems(settings: Settings) -> Iterator[str]:
    if settings.swift_auth_url is None:
        yield (
            "swift_auth_url: not set; swift needs the address that hands out tokens, for example "
            "https://keystone.example.com:5000/v3"
        )
    needed = SWIFT_3_OPTIONS if settings.swift_auth_version == 3 else {}
    for key, meaning in needed.items():
        if not settings.swift_options.get(key):
            yield (
                f"swift_options: {key} not set; with version 3 Quay does not start without "
                f"{meaning}"
            )


def _radosgw_problems(settings: Settings) -> Iterator[str]:
    version = quay_version(settings)
    if settings.storage_region and not is_legacy(version) and parse(version) < (3, 12, 0):
        yield (
            f"storage_region: {version} does not start with the region of a radosgw store; leave "
            "it out, or take v3.12.0 or newer"
        )


def _s3_problems(settings: Settings) -> Iterator[str]:
    version = quay_version(settings)
    if settings.storage_host and not settings.storage_tls and parse(version) < (3, 17, 0):
        yield (
            f"storage_tls: {version} reaches an s3 store only over TLS when it starts; give the "
            "store TLS, set storage to radosgw, or take v3.17.0 or newer"
        )
    if settings.storage_host and settings.storage_region:
        yield (
            "storage_region: Quay's driver for s3 asks AWS itself once it has a region; leave it "
            "out, or set storage to radosgw, which takes host and region of a compatible store"
        )
    if not settings.storage_host:
        if not settings.storage_region:
            yield (
                "storage_region: not set; s3 needs AWS's region of the bucket, for example "
                "eu-central-1, or a compatible store's storage_host"
            )
        if not settings.storage_tls or settings.storage_port:
            yield "storage_host: not set; AWS is reached by TLS at port 443 alone"


def _end_point(settings: Settings, store: StoreEndpoint) -> dict[str, Any]:
    match store.kind:
        case "radosgw":
            region = settings.storage_region
            return {
                "hostname": store.address,
                "port": store.port,
                "is_secure": store.tls,
                **({"region_name": region} if region else {}),
            }
        case "s3":
            # With a region Quay's driver uses AWS and no other address. Quay's own check at its
            # start knows no region, and would ask AWS's first one, which has no keys of China's.
            if settings.storage_region:
                return {"s3_region": settings.storage_region, "host": store.address}
            # Quay v3.16 checks the store at its start and knows `host` only, which means TLS.
            return {"host": store.netloc} if store.tls else {"endpoint_url": store.url}
        case "swift":
            return {
                "auth_url": settings.swift_auth_url,
                "auth_version": settings.swift_auth_version,
                **({"os_options": dict(settings.swift_options)} if settings.swift_options else {}),
            }
    return {}


def proxy(settings: Settings, store: StoreEndpoint) -> str | None:
    """Return the proxy to an external store, chosen as boto3 and requests choose it."""
    address = settings.https_proxy if store.tls else settings.http_proxy
    is_bypassed = proxy_bypass_environment(store.address, {"no": settings.no_proxy or ""})
    return None if store.hosts or is_bypassed else address
