"""A client of Quay's HTTP interfaces: health, first user, sign-in, and the registry protocol."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from quaylab import tls
from quaylab.clients.http import root_cause
from quaylab.clients.sample_image import MANIFEST, SampleImage, digest, sample_image

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPSConnection

TAG = "verify"
TIMEOUT = 40.0  # /health/endtoend takes up to 28 s while Redis or the store is down


class _Retry(urllib3.Retry):
    """Limits the wait that Quay asks for after wrong passwords: in the end that is hours."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        seconds = super().get_retry_after(response)
        return seconds and min(seconds, 10)


# Quay answers 429 after wrong passwords, even to the right one, and with FEATURE_RATE_LIMITS to
# more than five heavy requests a second.
RETRY = _Retry(
    total=8,
    connect=0,
    read=0,
    other=0,
    status_forcelist=[429],
    backoff_factor=0.5,
    allowed_methods=None,
    raise_on_status=False,
)


class RegistryError(Exception):
    """An error of the registry or the connection, in one line without secrets."""


@dataclass(frozen=True)
class Health:
    """The answer of a health end point; ``services`` says by name whether each is healthy."""

    ok: bool
    services: dict[str, bool]

    @property
    def failing(self) -> str:
        return ", ".join(name for name, good in sorted(self.services.items()) if not good)


@dataclass(frozen=True)
class PushedImage:
    """An image in a repository, with the digest that the registry reported."""

    name: str
    image: SampleImage
    digest: str


class Registry:
    """A registry over TLS, by its public name, but at any address that leads to it.

    Args:
        registry: SERVER_HOSTNAME, ``host[:port]``.
        trusted: PEM of the CA, or of the registry's own certificate.
        target: address and port to connect to, whatever the name resolves to.
        store_client: an HTTP client for the object store, to which Quay redirects for blobs.
    """

    def __init__(
        self,
        registry: str,
        trusted: str,
        target: tuple[str, int],
        store_client: urllib3.PoolManager | None = None,
    ) -> None:
        host, _, port = registry.partition(":")
        context = tls.registry_context(trusted)
        self.registry = registry
        self._context = context
        self._store_client = store_client
        self._pool = _Pool(
            host,
            int(port or 443),
            ssl_context=context,
            timeout=urllib3.Timeout(TIMEOUT),
            retries=RETRY,
            maxsize=1,
        )
        self._pool.target = target
        self._cookies: dict[str, str] = {}
        self._csrf: str | None = None

    def close(self) -> None:
        self._pool.close()

    def days_left(self) -> int:
        """Return the days until the registry's certificate expires."""
        try:
            with (
                socket.create_connection(self._pool.target, timeout=10) as raw,
                self._context.wrap_socket(raw, server_hostname=self._pool.host) as secure,
            ):
                served = secure.getpeercert()
        except OSError as error:
            raise RegistryError(f"TLS: {error}") from error
        assert served is not None  # it was verified
        expires = ssl.cert_time_to_seconds(str(served["notAfter"]))
        return int(expires - time.time()) // 86400

    def health(self, scope: str = "endtoend") -> Health:
        """Return the health: ``endtoend`` also checks database, Redis and storage."""
        response = self._send("GET", f"/health/{scope}", expect=(200, 503))
        services = _json(response, "data", "services")
        return Health(response.status == 200, {k: bool(v) for k, v in services.items()})

    def initialize(self, user: str, password: str, email: str) -> bool:
        """Create the first user; return False if the database has users already."""
        body = {"username": user, "password": password, "email": email, "access_token": True}
        response = self._send("POST", "/api/v1/user/initialize", json_body=body, expect=(200, 400))
        if response.status == 200:
            return True
        message = str(_json(response, "message"))
        if "non-empty database" in message:
            return False
        raise RegistryError(f"Quay refused the first user: {message}")

    def sign_in(self, user: str, password: str) -> bool:
        """Start a session; return False if the password is wrong."""
        headers = {"X-Requested-With": "XMLHttpRequest"}
        token = _json(self._send("GET", "/csrf_token", headers=headers), "csrf_token")
        response = self._send(
            "POST",
            "/api/v1/signin",
            headers={"X-CSRF-Token": token},
            json_body={"username": user, "password": password},
            expect=(200, 403, 429),
        )
        if response.status == 429:
            seconds = response.headers.get("Retry-After", "some")
            raise RegistryError(
                f"Quay lets nobody in as {user} for {seconds} s, after too many wrong passwords; "
                "run again after that"
            )
        return response.status == 200

    def is_superuser(self) -> bool:
        """Whether the user of the session is a superuser."""
        return bool(_json(self._send("GET", "/api/v1/user/"), "super_user"))

    def change_password(self, password: str) -> None:
        """Change the password of the session's user."""
        headers = {"X-CSRF-Token": self._csrf or ""}
        self._send("PUT", "/api/v1/user/", headers=headers, json_body={"password": password})

    def round_trip(self, user: str, password: str, prefix: str) -> str:
        """Log in, push a small image, pull and delete it; return the digest that Quay reported.

        It makes a new repository with a name that begins with ``prefix``, which
        ``delete_repositories`` removes: for two minutes after a deletion, Quay confuses a
        repository of the same name with the deleted one.

        Raises:
            RegistryError: any step that failed, or content that came back changed.
        """
        name = f"{user}/{prefix}{secrets.token_hex(4)}"
        bearer = self._token(user, password, f"repository:{name}:pull,push")
        pushed = self._push(name, bearer)
        self._pull(pushed, bearer)
        self._send("DELETE", f"/v2/{name}/manifests/{TAG}", headers=bearer, expect=(202,))
        return pushed.digest

    def push(self, user: str, password: str, prefix: str) -> PushedImage:
        """Log in and push a small image, to a new repository as :meth:`round_trip` does.

        Raises:
            RegistryError: any step that failed.
        """
        name = f"{user}/{prefix}{secrets.token_hex(4)}"
        return self._push(name, self._token(user, password, f"repository:{name}:pull,push"))

    def pull(self, user: str, password: str, pushed: PushedImage) -> None:
        """Log in and pull an image.

        Raises:
            RegistryError: any step that failed, or content that came back changed.
        """
        self._pull(pushed, self._token(user, password, f"repository:{pushed.name}:pull"))

    def _push(self, name: str, bearer: dict[str, str]) -> PushedImage:
        image = sample_image(f"Quaylab verified this registry by {name}.\n")
        for blob in (image.layer, image.configuration):
            self._upload(name, bearer, blob)
        pushed = self._send(
            "PUT",
            f"/v2/{name}/manifests/{TAG}",
            headers={**bearer, "Content-Type": MANIFEST},
            body=image.manifest,
            expect=(201,),
        )
        return PushedImage(name, image, pushed.headers["Docker-Content-Digest"])

    def _pull(self, pushed: PushedImage, bearer: dict[str, str]) -> None:
        name, image = pushed.name, pushed.image
        headers = {**bearer, "Accept": MANIFEST}
        pulled = self._send("GET", f"/v2/{name}/manifests/{TAG}", headers=headers)
        content = self._blob(f"/v2/{name}/blobs/{digest(image.layer)}", bearer)
        if pulled.data != image.manifest or content != image.layer:
            raise RegistryError(f"{name} came back from the registry with another content")

    def delete_repositories(self, namespace: str, prefix: str) -> None:
        """Remove repositories by prefix, also those of killed runs; needs a session."""
        headers = {"X-CSRF-Token": self._csrf or ""}
        for name in self._repositories(namespace):
            if name.startswith(prefix):
                path = f"/api/v1/repository/{namespace}/{name}"
                self._send("DELETE", path, headers=headers, expect=(204, 404))

    def _repositories(self, namespace: str) -> list[str]:
        """Return the names of all repositories in a name space, from all pages."""
        found: list[str] = []
        fields = {"namespace": namespace}
        while True:
            page = _json(self._send("GET", "/api/v1/repository", fields=fields))
            found += [entry["name"] for entry in page["repositories"]]
            if not page.get("next_page"):
                return found
            fields["next_page"] = page["next_page"]

    def _token(self, user: str, password: str, scope: str) -> dict[str, str]:
        fields = {"account": user, "service": self.registry, "scope": scope}
        response = self._send(
            "GET",
            "/v2/auth",
            headers=urllib3.make_headers(basic_auth=f"{user}:{password}"),
            fields=fields,
        )
        return {"Authorization": f"Bearer {_json(response, 'token')}"}

    def _blob(self, path: str, bearer: dict[str, str]) -> bytes:
        """Fetch a blob from the registry, or from where it redirects to: the store, or with
        FEATURE_PROXY_STORAGE its own proxy in front of the store."""
        answer = self._send("GET", path, headers=bearer, expect=(200, 302, 307))
        if answer.status == 200:
            return answer.data
        location = urllib3.util.parse_url(answer.headers["Location"])
        if location.netloc == self.registry:
            return self._send("GET", location.request_uri).data
        if self._store_client is None:
            raise RegistryError(
                f"GET {path}: sent to {location.host}, which is not an object store"
            )
        try:
            found = self._store_client.request("GET", location.url)
        except (HTTPError, OSError) as error:
            raise RegistryError(
                f"GET of a blob from {location.netloc}: {root_cause(error)}"
            ) from error
        if found.status != 200:
            raise RegistryError(f"GET of a blob from {location.netloc}: HTTP {found.status}")
        return found.data

    def _upload(self, name: str, bearer: dict[str, str], blob: bytes) -> None:
        start = self._send("POST", f"/v2/{name}/blobs/uploads/", headers=bearer, expect=(202,))
        headers = {**bearer, "Content-Type": "application/octet-stream"}
        sent = self._send(
            "PATCH", _path(start.headers["Location"]), headers=headers, body=blob, expect=(202,)
        )
        self._send(
            "PUT",
            _path(sent.headers["Location"]),
            headers=bearer,
            fields={"digest": digest(blob)},
            expect=(201,),
        )

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        json_body: dict[str, Any] | None = None,
        fields: dict[str, str] | None = None,
        expect: tuple[int, ...] = (200,),
    ) -> urllib3.BaseHTTPResponse:
        headers = dict(headers or {})
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
        if json_body is not None:
            body = json.dumps(json_body).encode()
            headers["Content-Type"] = "application/json"
        if fields:
            joint = "&" if "?" in path else "?"
            path = f"{path}{joint}{urlencode(fields)}"
        plain = path.partition("?")[0]
        try:
            response = self._pool.urlopen(method, path, body=body, headers=headers, redirect=False)
        except (HTTPError, OSError) as error:
            raise RegistryError(f"{method} {plain}: {root_cause(error)}") from error
        self._csrf = response.headers.get("X-Next-CSRF-Token", self._csrf)
        for cookie in response.headers.getlist("Set-Cookie"):
            self._cookies.update({k: m.value for k, m in SimpleCookie(cookie).items()})
        if response.status not in expect:
            raise RegistryError(f"{method} {plain}: HTTP {response.status}{_reason(response)}")
        return response


class _Connection(urllib3.connection.HTTPSConnection):
    """Connects to the pool's target and checks the certificate against the registry's name."""

    target: tuple[str, int]

    def _new_conn(self) -> socket.socket:
        try:
            return socket.create_connection(self.target, timeout=10)
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(self, str(error)) from error


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection
    target: tuple[str, int]

    def _new_conn(self) -> BaseHTTPSConnection:
        connection = super()._new_conn()
        assert isinstance(connection, _Connection)
        connection.target = self.target
        return connection


def _path(location: str) -> str:
    """Return path and query of a Location, which Quay sends with scheme and host."""
    parsed = urllib3.util.parse_url(location)
    return parsed.request_uri


def _json(response: urllib3.BaseHTTPResponse, *keys: str) -> Any:
    """Return the value at ``keys`` in a JSON answer."""
    try:
        found = json.loads(response.data)
        for key in keys:
            found = found[key]
    except (ValueError, LookupError, TypeError) as error:
        if response.status >= 500:
            raise RegistryError(f"HTTP {response.status}") from error
        raise RegistryError("the registry's answer is not as Quay's; is it Quay?") from error
    return found


def _reason(response: urllib3.BaseHTTPResponse) -> str:
    """Return the registry's own message, if its error has one."""
    try:
        body = json.loads(response.data)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    message = body.get("message") or body.get("error_message")
    with suppress(LookupError, TypeError):
        message = message or body["errors"][0]["message"]
        # The first line: a JSON schema may follow.
        message += f": {body['errors'][0]['detail']['message'].splitlines()[0]}"
    return f" ({message})" if message else ""
