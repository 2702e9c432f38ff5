"""The blobs behind docker-registry, which drivers.py configures.

docker-registry listens on a socket inside the container and stores only blobs. The database records
which repository has which blob, so all blobs share one repository of the back end.
"""

import hashlib
import http.client
import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from standin import runtime

BLOBS = "/v2/quay/blobs"
SECONDS = 30
# Not empty: docker-registry cannot write a blob of no bytes to S3.
PROBE = b"The stand-in looks whether it can write here.\n"
PROBE_DIGEST = f"sha256:{hashlib.sha256(PROBE).hexdigest()}"


class StorageError(Exception):
    """The object storage, or docker-registry in front of it, fails."""


class DigestError(Exception):
    """The uploaded content doesn't have the client's digest."""


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
    """Begin an upload; return the location for its next part."""
    answer = _request("POST", f"{BLOBS}/uploads/")
    if answer.status != http.HTTPStatus.ACCEPTED:
        raise StorageError(f"an upload cannot begin: {answer.status}")
    return answer.location


def append(location: str, content: Iterable[bytes]) -> str:
    """Add to an upload; return the location for its next part."""
    answer = _request("PATCH", location, content)
    if answer.status != http.HTTPStatus.ACCEPTED:
        raise StorageError(f"an upload cannot go on: {answer.status}")
    return answer.location


def finish(location: str, digest: str) -> None:
    """End an upload; its content must have that digest."""
    answer = _request("PUT", f"{location}&digest={digest}")
    if answer.status == http.HTTPStatus.BAD_REQUEST:
        raise DigestError
    if answer.status != http.HTTPStatus.CREATED:
        raise StorageError(f"an upload cannot end: {answer.status}")


def cancel(location: str) -> None:
    """Cancel an upload."""
    _request("DELETE", location)


def read(digest: str) -> bytes:
    """Return a small blob's content, following docker-registry's redirect."""
    answer = _request("GET", f"{BLOBS}/{digest}")
    if answer.status == http.HTTPStatus.OK:
        return answer.body
    return _fetch(urlsplit(_location(answer)))


def signed_address(digest: str) -> str:
    """Return a blob's signed address at a store that signs."""
    return _location(_request("GET", f"{BLOBS}/{digest}"))


def _location(answer: _Answer) -> str:
    if answer.status != http.HTTPStatus.TEMPORARY_REDIRECT:
        raise StorageError(f"a blob cannot be read: {answer.status}")
    return answer.location


def _fetch(address: SplitResult) -> bytes:
    """Fetch an object from the store by a signed address."""
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
    """Return whether docker-registry itself answers, whatever its storage does."""
    try:
        return _request("GET", "/", timeout=2).status == http.HTTPStatus.OK
    except StorageError:
        return False


def is_writable() -> bool:
    """Return whether the object storage accepts a blob: always the same one."""
    try:
        finish(append(start_upload(), [PROBE]), PROBE_DIGEST)
    except StorageError:
        return False
    return True


def disk_has_space() -> bool:
    """Return whether the container's own disk has free space."""
    disk = os.statvfs("/")
    return disk.f_bavail / disk.f_blocks > 0.01
