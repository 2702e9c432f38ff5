"""Object storage: Quay's storage drivers in terms of docker-registry, and the blobs behind it.

docker-registry listens on a socket inside the container and keeps blobs only. Which repository has
which blob is in the database, so all blobs share one repository of the back end.
"""

import hashlib
import http.client
import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from standin import StartError, minor_version, runtime
from standin.config import Settings

BLOBS = "/v2/quay/blobs"
SECONDS = 30
# Not empty: docker-registry cannot write a blob of no bytes to S3.
PROBE = b"The stand-in looks whether it can write here.\n"
PROBE_DIGEST = f"sha256:{hashlib.sha256(PROBE).hexdigest()}"
# Google's S3-compatible interface, for which GoogleCloudStorage's keys are made.
GOOGLE_ENDPOINT = "https://storage.googleapis.com"

# Until then Quay's check of a store of S3's kind knows no endpoint_url.
WITHOUT_ENDPOINT_URL = (3, 16)


class StorageError(Exception):
    """The object storage, or the registry in front of it, does not do what it must."""


class DigestError(Exception):
    """What was uploaded does not have the digest that the client says."""


def registry_configuration(settings: Settings) -> dict[str, Any]:
    """docker-registry's configuration for the preferred storage location."""
    driver, arguments = settings.storage
    return {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            **_driver(driver, arguments),
            "delete": {"enabled": True},
            "redirect": {"disable": not _redirects(settings)},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {
            "net": "unix",
            "addr": str(runtime.REGISTRY_SOCKET),
            "relativeurls": True,
            # An upload that one node began may go on at another.
            "secret": settings.derived_key("registry").hex(),
        },
    }


def check(settings: Settings) -> None:
    """What Quay's own check of the store can't do without."""
    driver, arguments = settings.storage
    if driver == "SwiftStorage" and int(arguments.get("auth_version", 2)) == 3:
        options = arguments.get("os_options") or {}
        for key in ("user_domain_name", "tenant_id"):
            if not isinstance(options.get(key), str):
                raise StartError(f"Swift auth v3 requires {key} (string) in os_options")
    named = "s3_region" in arguments or "host" in arguments
    if driver == "S3Storage" and not named and minor_version() <= WITHOUT_ENDPOINT_URL:
        raise StartError("S3Storage lacks host: Quay looks for the bucket at s3.amazonaws.com")


def _redirects(settings: Settings) -> bool:
    """Whether clients fetch blobs from the store itself; Quay has signed addresses of S3's kind."""
    driver, _ = settings.storage
    signs = driver in ("RadosGWStorage", "S3Storage", "GoogleCloudStorage")
    return signs and not settings.values.get("FEATURE_PROXY_STORAGE")


def _driver(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        match name:
            case "LocalStorage":
                return {"filesystem": {"rootdirectory": arguments["storage_path"]}}
            case "RadosGWStorage":
                secure = bool(arguments.get("is_secure", True))
                endpoint = f"{'https' if secure else 'http'}://{arguments['hostname']}"
                if "port" in arguments:
                    endpoint += f":{arguments['port']}"
                return _s3(arguments, "access_key", "secret_key", "bucket_name", endpoint)
            case "S3Storage":
                endpoint = str(arguments.get("endpoint_url", ""))
                if "host" in arguments and not endpoint:
                    endpoint = f"https://{arguments['host']}"
                    endpoint += f":{arguments['port']}" if "port" in arguments else ""
                # s3_region overrides the end point, as in Quay.
                if "s3_region" in arguments:
                    endpoint = ""
                return _s3(arguments, "s3_access_key", "s3_secret_key", "s3_bucket", endpoint)
            case "GoogleCloudStorage":
                return _s3(arguments, "access_key", "secret_key", "bucket_name", GOOGLE_ENDPOINT)
            case "SwiftStorage":
                options = arguments.get("os_options") or {}
                return {
                    "swift": {
                        "username": arguments["swift_user"],
                        "password": arguments["swift_password"],
                        "authurl": arguments["auth_url"],
                        "container": arguments["swift_container"],
                        "authversion": int(arguments.get("auth_version", 3)),
                        "tenant": options.get("tenant_name", ""),
                        "region": options.get("region_name", ""),
                        "domain": options.get("user_domain_name", ""),
                        "rootdirectory": arguments["storage_path"],
                    }
                }
    except KeyError as error:
        raise StartError(f"storage driver {name} lacks {error.args[0]}") from error
    # Upstream turns an unknown name silently into a fake store in memory.
    raise StartError(f"storage driver {name} is unknown to the stand-in")


def _s3(
    arguments: dict[str, Any], access_key: str, secret_key: str, bucket: str, endpoint: str
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bucket": arguments[bucket],
        "region": arguments.get("s3_region") or arguments.get("region_name", "us-east-1"),
        "rootdirectory": arguments["storage_path"],
    }
    # S3 alone does without keys, where the machine has a role at AWS.
    if access_key != "s3_access_key" or access_key in arguments:
        options |= {"accesskey": arguments[access_key], "secretkey": arguments[secret_key]}
    if endpoint:
        options["regionendpoint"] = endpoint
        options["secure"] = endpoint.startswith("https:")
    return {"s3": options}


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(runtime.REGISTRY_SOCKET))


@dataclass(frozen=True)
class _Answer:
    status: int
    location: str
    body: bytes


def _request(
    method: str, path: str, body: Iterable[bytes] | None = None, timeout: float = SECONDS
) -> _Answer:
    connection = _SocketConnection("registry", timeout=timeout)
    headers = {"Content-Type": "application/octet-stream"}
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StorageError(f"{method}: {error}") from error
    finally:
        connection.close()
    return _Answer(answer.status, answer.headers.get("Location", ""), content)


def start_upload() -> str:
    """Begin an upload; give the place where it goes on."""
    answer = _request("POST", f"{BLOBS}/uploads/")
    if answer.status != http.HTTPStatus.ACCEPTED:
        raise StorageError(f"an upload cannot begin: {answer.status}")
    return answer.location


def append(location: str, content: Iterable[bytes]) -> str:
    """Add to an upload; give the place where it goes on."""
    answer = _request("PATCH", location, content)
    if answer.status != http.HTTPStatus.ACCEPTED:
        raise StorageError(f"an upload cannot go on: {answer.status}")
    return answer.location


def finish(location: str, digest: str) -> None:
    """End an upload whose content must have that digest."""
    answer = _request("PUT", f"{location}&digest={digest}")
    if answer.status == http.HTTPStatus.BAD_REQUEST:
        raise DigestError
    if answer.status != http.HTTPStatus.CREATED:
        raise StorageError(f"an upload cannot end: {answer.status}")


def cancel(location: str) -> None:
    """Give an upload up."""
    _request("DELETE", location)


def read(digest: str) -> bytes:
    """A small blob's content, wherever docker-registry sends for it."""
    answer = _request("GET", f"{BLOBS}/{digest}")
    if answer.status == http.HTTPStatus.OK:
        return answer.body
    if answer.status != http.HTTPStatus.TEMPORARY_REDIRECT:
        raise StorageError(f"a blob cannot be read: {answer.status}")
    return _fetch(urlsplit(answer.location))


def _fetch(address: SplitResult) -> bytes:
    """What the object store has at a signed address."""
    trust = ssl.create_default_context(cafile=str(runtime.CA_BUNDLE))
    # Quay's Python takes a private CA without keyUsage too.
    trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
    connection = http.client.HTTPConnection(address.netloc, timeout=SECONDS)
    if address.scheme == "https":
        connection = http.client.HTTPSConnection(address.netloc, timeout=SECONDS, context=trust)
    try:
        connection.request("GET", f"{address.path}?{address.query}")
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StorageError(f"GET: {error}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise StorageError(f"a blob cannot be read: {answer.status}")
    return content


def answers() -> bool:
    """Whether docker-registry itself is there, whatever its storage does."""
    try:
        return _request("GET", "/", timeout=2).status == http.HTTPStatus.OK
    except StorageError:
        return False


def is_writable() -> bool:
    """Whether the object storage takes a blob: always the same one."""
    try:
        finish(append(start_upload(), [PROBE]), PROBE_DIGEST)
    except StorageError:
        return False
    return True


def disk_has_space() -> bool:
    """Whether the container's own disk has room left."""
    disk = os.statvfs("/")
    return disk.f_bavail / disk.f_blocks > 0.01
