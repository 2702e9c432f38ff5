"""The store of the blobs in Quay's terms: which driver, with which arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from quaylab.secrets.credentials import Credentials
from quaylab.settings import Settings
from quaylab.settings.objects import Objects, SwiftOption
from quaylab.topology import Store, Topology
from quaylab.versions import is_legacy, parse, quay_version

# Where a local store's volume is mounted, and the blobs in it.
MOUNT = "/datastorage"
LOCAL_PATH = f"{MOUNT}/registry"
# What each kind of store takes beside bucket, path and location.
TAKES: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "radosgw": (
        "storage_host",
        "storage_port",
        "storage_tls",
        "storage_ca",
        "storage_region",
        "storage_proxy",
    ),
    "s3": (
        "storage_host",
        "storage_port",
        "storage_tls",
        "storage_ca",
        "storage_region",
        "storage_proxy",
        "storage_iam_role",
    ),
    "gcs": ("storage_proxy",),
    "swift": ("storage_ca", "swift_auth_url", "swift_auth_version", "swift_options"),
}
# Those that say something even when nobody set them.
ALWAYS = ("storage", "storage_bucket", "storage_path", "storage_location")
# What Quay's check at its start wants of version 3, where Swift itself has other names for it.
SWIFT_3_OPTIONS: Mapping[SwiftOption, str] = {
    "tenant_id": "the project's id",
    "user_domain_name": "the name of the user's domain, such as Default",
}
UNSET: Mapping[str, object] = {"storage_tls": True, "swift_auth_version": 3}
# Driver, and its names for access key, secret key and bucket. An unknown driver would silently be
# a store in memory.
DRIVERS = {
    "radosgw": ("RadosGWStorage", "access_key", "secret_key", "bucket_name"),
    "s3": ("S3Storage", "s3_access_key", "s3_secret_key", "s3_bucket"),
    "gcs": ("GoogleCloudStorage", "access_key", "secret_key", "bucket_name"),
    "swift": ("SwiftStorage", "swift_user", "swift_password", "swift_container"),
}


def config(settings: Settings, topology: Topology, credentials: Credentials) -> dict[str, Any]:
    """The keys of config.yaml that tell Quay where its blobs are."""
    location = settings.storage_location
    store = topology.store
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
    """The credentials in what :func:`config` made, by our names of them."""
    (driver, arguments), *_ = config["DISTRIBUTED_STORAGE_CONFIG"].values()
    for name, access, secret, _ in DRIVERS.values():
        if name == driver and access in arguments:
            return {
                "storage_access_key": arguments[access],
                "storage_secret_key": arguments[secret],
            }
    return {}


def problems(settings: Settings, kind: str) -> Iterator[str]:
    """Settings of the store that don't go together."""
    for key in Objects.model_fields:
        value = getattr(settings, key)
        says = value != UNSET[key] if key in UNSET else value not in (None, False, {})
        if key in TAKES[kind] or key in ALWAYS or not says:
            continue
        yield f"{key}: has no meaning with {kind} storage; leave it out, or set `storage`"
    if kind != "local" and settings.quay_storage_path:
        yield "quay_storage_path: is for local storage; an object store has storage_path"
    if kind != "local" and is_legacy(quay_version(settings)):
        yield (
            f"storage: {quay_version(settings)} is told of its object store in its own set-up "
            "page; leave it at local, or take Quay 3"
        )
    if kind == "local" and settings.storage_path != LOCAL_PATH:
        yield "storage_path: is for object storage; a local one has quay_storage_path"
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


def _s3_problems(settings: Settings) -> Iterator[str]:
    version = quay_version(settings)
    if settings.storage_host and not settings.storage_tls and parse(version) < (3, 17, 0):
        yield (
            f"storage_tls: {version} looks for an s3 store by TLS alone when it starts; give the "
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


def _end_point(settings: Settings, store: Store) -> dict[str, Any]:
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
            # With a region Quay asks AWS, and takes no other address.
            if settings.storage_region:
                return {"s3_region": settings.storage_region}
            # What checks the store as v3.16 starts knows `host` only, which means TLS.
            return {"host": store.netloc} if store.tls else {"endpoint_url": store.url}
        case "swift":
            return {
                "auth_url": settings.swift_auth_url,
                "auth_version": settings.swift_auth_version,
                **({"os_options": dict(settings.swift_options)} if settings.swift_options else {}),
            }
    return {}


def proxy(settings: Settings, store: Store) -> str | None:
    """The proxy by which Quay reaches a store that runs elsewhere, as boto3 and requests see it."""
    address = settings.https_proxy if store.tls else settings.http_proxy
    spared = proxy_bypass_environment(store.address, {"no": settings.no_proxy or ""})
    return None if store.host or spared else address
