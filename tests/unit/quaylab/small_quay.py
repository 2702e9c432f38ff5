"""A small Quay for the tests of its client: a few endpoints over TLS, in a thread."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from quaylab.secrets.credentials import Credentials

USER, PASSWORD, EMAIL = "quayadmin", "superuser-password", "quayadmin@example.com"


class SmallQuay(ThreadingHTTPServer):
    """A server that answers as Quay does.

    ``forced`` answers replace the usual ones, each once, by method and path; ``seen`` has the
    method and path of each request.
    """

    daemon_threads = True

    def __init__(self, port: int = 0, address: str = "127.0.0.1") -> None:
        super().__init__((address, port), _Handler)
        self.forced: dict[str, list[tuple[int, Any]]] = {}
        self.seen: list[str] = []
        self.users: dict[str, str] = {}
        # The number of wrong passwords in a row, and until when every login is refused.
        self.wrong = 0
        self.shut_until = 0.0
        self.superusers = {USER}
        self.blobs: dict[str, bytes] = {}
        # The address to which it redirects clients for a blob.
        self.sends_to: str | None = None
        self.manifests: dict[str, bytes] = {}
        self.repositories: set[str] = set()
        # What is pushed to a name within two minutes of its deletion is lost.
        self.deleted: set[str] = set()

    def force(self, request: str, status: int, body: Any = "", times: int = 1) -> None:
        self.forced.setdefault(request, []).extend([(status, body)] * times)

    @property
    def target(self) -> tuple[str, int]:
        return "127.0.0.1", self.server_port


@contextmanager
def serving(credentials: Credentials, directory: Path) -> Iterator[SmallQuay]:
    """Run a small Quay with the credentials' certificate."""
    assert credentials.certificate and credentials.certificate_key
    bundle = directory / "ssl.pem"
    bundle.write_text(credentials.certificate + credentials.certificate_key.get_secret_value())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    with SmallQuay() as quay:
        # In the connection's own thread: a client that is cut off would keep all others waiting.
        quay.socket = context.wrap_socket(
            quay.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=quay.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield quay
        finally:
            quay.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: SmallQuay

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        request = f"{self.command} {url.path}"
        self.server.seen.append(request)
        if self.server.forced.get(request):
            self._answer(*self.server.forced[request].pop(0))
        elif url.path.startswith("/v2/") and url.path != "/v2/auth":
            self._registry(url.path)
        elif url.path.startswith("/_storage_proxy/"):
            self._storage_proxy(url.path)
        else:
            self._api(request)

    def _api(self, request: str) -> None:
        quay = self.server
        sent = json.loads(self.body) if self.body else {}
        match request:
            case "GET /health/endtoend" | "GET /health/instance":
                self._answer(200, {"data": {"services": {"auth": True, "database": True}}})
            case "POST /api/v1/user/initialize" if quay.users:
                message = "Cannot initialize user in a non-empty database"
                self._answer(400, {"message": message})
            case _ if not sent.get("password", "").isascii():
                self._answer(500, "<html>")
            case "POST /api/v1/user/initialize":
                quay.users[sent["username"]] = sent["password"]
                self._answer(200, {"access_token": "token"})
            case "GET /csrf_token":
                cookie = {"Set-Cookie": "session=1; Path=/; HttpOnly"}
                self._answer(200, {"csrf_token": "first"}, cookie)
            case "POST /api/v1/signin":
                self._sign_in(sent["username"], sent["password"])
            case "GET /api/v1/user/":
                self._answer(200, {"super_user": self._session in quay.superusers})
            case "PUT /api/v1/user/" if self.headers["X-CSRF-Token"] == "next":
                quay.users[self._session] = sent["password"]
                self._answer(200, {})
            case "GET /v2/auth":
                self._give_token()
            case "GET /api/v1/repository":
                self._answer(200, self._page(self.query["namespace"]))
            case _ if request.startswith("DELETE /api/v1/repository/"):
                allowed = self.headers["X-CSRF-Token"] == "next" and self._session in quay.users
                if allowed:
                    name = request.removeprefix("DELETE /api/v1/repository/")
                    quay.repositories.discard(name)
                    quay.deleted.add(name)
                self._answer(204 if allowed else 403, "")
            case _:
                self._answer(404, {"error_message": "Not Found"})

    def _sign_in(self, user: str, password: str) -> None:
        quay = self.server
        if (left := quay.shut_until - time.monotonic()) > 0:
            self._answer(429, "Too many login attempts.", {"Retry-After": str(int(left))})
            return
        known = quay.users.get(user) == password
        proven = self.headers["X-CSRF-Token"] == "first" and self._session == "anonymous"
        cookie = {"Set-Cookie": f"session={user}", "X-Next-CSRF-Token": "next"}
        quay.wrong = 0 if known else quay.wrong + 1
        quay.shut_until = time.monotonic() + (2**quay.wrong - 1) / 2
        self._answer(200 if known and proven else 403, {}, cookie if known else {})

    def _give_token(self) -> None:
        """Give a token to a user with the right password; without a login it grants nothing."""
        sent = self.headers["Authorization"]
        logins = (f"{name}:{password}" for name, password in self.server.users.items())
        if sent is None:
            self._answer(200, {"token": "bearer"})
        elif sent in [f"Basic {b64encode(login.encode()).decode()}" for login in logins]:
            self._answer(200, {"token": f"bearer {self.query['scope']}"})
        else:
            error = {"code": "UNAUTHORIZED", "message": "Invalid Username or Password"}
            self._answer(401, {"errors": [{**error, "detail": {}}]})

    @property
    def _session(self) -> str:
        """The user of the session's cookie."""
        value = self.headers.get("Cookie", "").partition("session=")[2]
        return "anonymous" if value == "1" else value

    def _registry(self, path: str) -> None:
        quay = self.server
        name, kind, reference = path.removeprefix("/v2/").rsplit("/", 2)
        repository = name.removesuffix("/blobs")
        granted = self.headers["Authorization"].removeprefix(
            f"Bearer bearer repository:{repository}:"
        )
        if granted != "pull,push" and (granted != "pull" or self.command != "GET"):
            self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no access"}]})
        elif kind == "uploads" and self.command == "POST":
            quay.repositories.add(repository)
            self._answer(202, "", {"Location": f"https://quay.example.com{path}1?state=a"})
        elif kind == "uploads" and self.command == "PATCH":
            quay.blobs["uploading"] = self.body
            self._answer(202, "", {"Location": f"{path}?state=b"})
        elif kind == "uploads":
            quay.blobs[self.query["digest"]] = quay.blobs.pop("uploading")
            self._answer(201 if self.query["state"] == "b" else 400, "")
        elif kind == "manifests" and self.command == "PUT" and not self._has_history():
            reason = "config data does not match schema: 'history' is a required property"
            error = {"code": "MANIFEST_INVALID", "message": "manifest invalid"}
            self._answer(400, {"errors": [{**error, "detail": {"message": reason}}]})
        elif kind == "manifests" and self.command == "PUT":
            if repository not in quay.deleted:
                quay.manifests[reference] = self.body
            digest = f"sha256:{hashlib.sha256(self.body).hexdigest()}"
            self._answer(201, "", {"Docker-Content-Digest": digest})
        elif self.command == "DELETE":
            self._answer(202 if quay.manifests.pop(reference, None) else 404, "")
        elif kind == "blobs" and quay.sends_to:
            self._answer(302, "", {"Location": f"{quay.sends_to}/{reference}?signature=a"})
        else:
            found = (quay.manifests if kind == "manifests" else quay.blobs).get(reference)
            self._answer(404 if found is None else 200, found or b"")

    def _storage_proxy(self, path: str) -> None:
        """Answer with a blob from the store: the address itself allows it, for whoever has it."""
        *_, digest = path.split("/")
        allowed = path == f"/_storage_proxy/allowed/https/store/{digest}"
        allowed &= self.query == {"signature": "a"} and "Authorization" not in self.headers
        self._answer(200 if allowed else 401, self.server.blobs[digest] if allowed else "")

    def _page(self, namespace: str) -> dict[str, Any]:
        """Return a page of a namespace's repositories, which has one."""
        names = sorted(name for name in self.server.repositories if name.startswith(namespace))
        first = int(self.query.get("next_page", 0))
        shown = [{"name": name.partition("/")[2]} for name in names[first : first + 1]]
        more = {"next_page": str(first + 1)} if first + 1 < len(names) else {}
        return {"repositories": shown, **more}

    def _has_history(self) -> bool:
        """Return whether Quay can read the configuration of the manifest that was sent."""
        config = json.loads(self.body)["config"]
        is_docker = config["mediaType"].startswith("application/vnd.docker.")
        return not is_docker or "history" in json.loads(self.server.blobs[config["digest"]])

    def _answer(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        if isinstance(body, str):
            body = body.encode()
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
