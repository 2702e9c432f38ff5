"""A client of object stores as Quay uses them: one bucket, and objects in it."""

from __future__ import annotations

import ssl
import time
from typing import Protocol

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from quaylab import tls
from quaylab.clients.http import Dial, manager, root_cause
from quaylab.clients.probes import Answer, Unreachable
from quaylab.clients.store_errors import StoreError
from quaylab.endpoints import StoreEndpoint
from quaylab.secrets.credentials import Credentials
from quaylab.services import object_store
from quaylab.settings.loading import Settings

PROBE = "quaylab-probe"
CONTENT = b"Quaylab looks whether it can write here.\n"


class Objects(Protocol):
    """The operations of each kind of store; every method may raise :class:`StoreError`."""

    def has_bucket(self) -> bool:
        """Whether the bucket exists; an error if our keys may not use it."""

    def make_bucket(self) -> None: ...

    def write(self, name: str, content: bytes) -> None: ...

    def read(self, name: str) -> bytes: ...

    def delete(self, name: str) -> None: ...


def http_client(
    settings: Settings, store: StoreEndpoint, credentials: Credentials, dial: Dial
) -> PoolManager:
    """Return an HTTP client for a store, with the CAs and the proxy that Quay uses."""
    files = (settings.company_ca, settings.storage_ca)
    trusted = [file.read_text() for file in files if file]
    if store.hosts and credentials.ca_certificate:
        trusted.append(credentials.ca_certificate)
    return manager(dial, trusted, object_store.proxy(settings, store))


class Client:
    """A store with Quay's credentials, reached from a host; errors are one line each.

    Args:
        dial: opens a connection from that host.
    """

    def __init__(
        self, settings: Settings, store: StoreEndpoint, credentials: Credentials, dial: Dial
    ) -> None:
        http = http_client(settings, store, credentials, dial)
        self._store = store
        self._settings = settings
        self._objects = _objects(settings, store, credentials, http, dial)

    def ask(self) -> Answer | None:
        """Look for the bucket, without changing anything; return None if it doesn't exist.

        Raises:
            Unreachable: no answer, or the keys are refused; the text begins with the setting.
        """
        started = time.monotonic()
        with _ErrorTranslation(self._store):
            exists = self._objects.has_bucket()
        server = f"{self._store.kind} bucket {self._settings.storage_bucket}"
        return Answer(server, (time.monotonic() - started) * 1000) if exists else None

    def make_bucket(self) -> None:
        """Create the bucket.

        Raises:
            Unreachable: it can't be created, or somebody else owns it.
        """
        with _ErrorTranslation(self._store):
            self._objects.make_bucket()

    def round_trip(self) -> None:
        """Write an object where Quay's are, read it back, delete it.

        Raises:
            Unreachable: one of these steps fails.
        """
        name = f"{self._settings.storage_path.strip('/')}/{PROBE}"
        with _ErrorTranslation(self._store):
            self._objects.write(name, CONTENT)
            content = self._objects.read(name)
            self._objects.delete(name)
        if content != CONTENT:
            raise Unreachable(f"storage_host: {_where(self._store)} gave back another content")


def _objects(
    settings: Settings,
    store: StoreEndpoint,
    credentials: Credentials,
    http: PoolManager,
    dial: Dial,
) -> Objects:
    # Imported only if needed: boto3 loads slowly, and most registries have their blobs in a volume.
    if store.kind == "swift":
        from quaylab.clients.swift import Swift

        return Swift(settings, credentials, http)
    from quaylab.clients.s3 import S3

    return S3(settings, store, credentials, http, manager(dial))


class _ErrorTranslation:
    """Turns the errors of a store's client into one line that begins with the setting."""

    def __init__(self, store: StoreEndpoint) -> None:
        self._store = store

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        where = _where(self._store)
        if isinstance(error, StoreError):
            raise Unreachable(f"{error.setting}: {where}: {error}") from error
        if isinstance(error, (HTTPError, OSError)):
            cause = root_cause(error)
            setting = "swift_auth_url" if self._store.kind == "swift" else "storage_host"
            if isinstance(cause, ssl.SSLCertVerificationError):
                setting = setting if tls.is_for_another_name(cause) else "storage_ca"
                reason = tls.reason(cause, "storage_ca")
                raise Unreachable(f"{setting}: {where}: {reason}") from error
            reason = str(cause) or type(cause).__name__
            raise Unreachable(f"{setting}: {where}: no answer: {reason}") from error


def _where(store: StoreEndpoint) -> str:
    return f"object store at {store.address}:{store.port}"
