"""The recordings of a real Quay: read both, and replay the first one to another server."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.machine.machines import wait_until
from tests.machine.site import ADMIN, ADMIN_PASSWORD, Site, docker, health

FIRST = Path(__file__).with_name("quay-http.txt")
SECOND = Path(__file__).with_name("quay-http-2.txt")
RECORDED_HOST = "127.0.0.1:8380"


@dataclass
class Exchange:
    """One recorded request and its answer. ``sent`` describes a body that is not JSON."""

    title: str
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    user: str = ""
    sent: str = ""
    anonymous: bool = False
    status: int = 0
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    token: str = ""


def recorded(recording: Path) -> list[Exchange]:
    """Return the exchanges of a recording, in order."""
    text = f"\n{recording.read_text()}"
    return [_exchange(block) for block in text.split("\n## ")[1:]]


def _exchange(block: str) -> Exchange:
    title, request, *lines = block.strip("\n").split("\n")
    method, path = request.split(" ", 1)
    exchange = Exchange(title, method, path)
    for line in (line.strip() for line in lines):
        key, _, value = line[2:].partition(": ")
        if line.startswith("> "):
            _read_request(exchange, key, value, line[2:])
        elif re.fullmatch(r"< \d{3}", line):
            exchange.status = int(line[2:])
        elif re.match(r"< [A-Z][A-Za-z0-9-]*: ", line):
            exchange.answer_headers[key] = value
        elif line.startswith(("< (in the token: ", "< payload: ")):
            exchange.token = line[2:]
        elif line.startswith("< ") and " first, " not in line and not line.startswith("< header"):
            exchange.answer = line[2:]
    return exchange


def _read_request(exchange: Exchange, key: str, value: str, line: str) -> None:
    match key:
        case "headers":
            exchange.headers = json.loads(value)
        case "json":
            exchange.json = json.loads(re.sub(r": (<[A-Z]+>)", r': "\1"', value))
        case "basic auth":
            exchange.user = value
        case "(no credentials)":
            exchange.anonymous = True
        case _:
            exchange.sent = line


@dataclass
class Replay:
    """A replay of the recording to a stand-in, with the tokens that its answers gave so far."""

    site: Site
    port: int
    session: requests.Session = field(default_factory=requests.Session)
    api_token: str = ""
    registry_token: str = ""
    upload: str = ""
    csrf: str = ""
    stopped: str = ""
    # As long as the recorded ones, so that the ranges are the same.
    layer: bytes = b"l" * 96
    config: bytes = json.dumps({"rootfs": {"type": "layers"}, "history": []}).ljust(245).encode()
    sent: bytes = b""

    def __post_init__(self) -> None:
        manifests = [self.manifest(), self.manifest(indent=1)]
        #: Digests in the recording, which has no bodies, and the contents that are sent instead.
        self.digests = {
            "8c895b07f45979367be9aad25590e7fab0d086203b512f7f189d9b84ca389c12": self.layer,
            "495ccdafe898d731b0788fb111050e5ab21475f70c8f59b7e6a0365f4f62b5f6": self.config,
            "9a96f40513a91c20c733d3b0037de91cebc85fb7c4ea4b5b226b57caedce1c47": manifests[0],
            "6034984345ab0ed05ac99895a031f8978612de910ec7e2e6ddc31071b6bfa539": manifests[1],
        }

    def manifest(self, layer: str = "", indent: int | None = None) -> bytes:
        """Return a manifest of the two blobs, or of a missing layer."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(self.config),
                "digest": digest(self.config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                    "size": len(self.layer),
                    "digest": layer or digest(self.layer),
                }
            ],
        }
        return json.dumps(manifest, indent=indent).encode()

    def here(self, text: str) -> str:
        """Return a text of the recording with this test's digests, address and token."""
        for theirs, content in self.digests.items():
            text = text.replace(theirs, hashlib.sha256(content).hexdigest())
        text = text.replace(RECORDED_HOST, f"127.0.0.1:{self.port}")
        return text.replace("<CSRF>", self.csrf)

    def play(self, exchange: Exchange) -> requests.Response:
        """Bring the site into the state that the title names, and make the request."""
        self._prepare(exchange.title)
        headers = {key: self.here(value) for key, value in exchange.headers.items()}
        if "Authorization" in headers:
            headers["Authorization"] = f"Bearer {self._token(exchange)}"
        arguments: dict[str, Any] = {"headers": headers}
        if exchange.json is not None:
            arguments["json"] = {**exchange.json}
            if "password" in exchange.json:
                arguments["json"]["password"] = _password(exchange.title)
        elif body := self._body(exchange):
            arguments["data"] = body
        if exchange.user:
            arguments["auth"] = (exchange.user, _password(exchange.title))
        path = self.here(exchange.path).replace("<UUID>", self.upload)
        answer = self.request(exchange.method, path, **arguments)
        self._learn(answer)
        return answer

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Make a request; repeat it while the answer is 429 (too many requests)."""
        # Health was recorded without a session; a superuser gets more details.
        session = requests if path.startswith("/health") else self.session
        for _ in range(15):
            answer = session.request(
                method, f"http://127.0.0.1:{self.port}{path}", timeout=30, **arguments
            )
            if answer.status_code != 429:
                break
            time.sleep(0.5)
        return answer

    def push_token(self) -> str:
        """Return a token to push to the recording's repository."""
        scope = "repository:quayadmin/smoke:pull,push"
        service = f"127.0.0.1:{self.port}"
        path = f"/v2/auth?service={service}&scope={scope}"
        return str(self.request("GET", path, auth=(ADMIN, ADMIN_PASSWORD)).json()["token"])

    def push_blob(self, content: bytes) -> None:
        """Upload a blob in one request."""
        path = f"/v2/quayadmin/smoke/blobs/uploads/?digest={digest(content)}"
        headers = {"Authorization": f"Bearer {self.registry_token}"}
        assert self.request("POST", path, data=content, headers=headers).status_code == 201

    def _prepare(self, title: str) -> None:
        state = title.partition(":")[0]
        wanted = {"Redis down": "redis", "database down": "postgresql"}.get(state, "")
        if self.stopped and self.stopped != wanted:
            docker("start", self.site.container(self.stopped))
            wait_until(lambda: health(self.port, "endtoend") == 200, self.stopped)
            self.stopped = ""
        if wanted and not self.stopped:
            docker("stop", self.site.container(wanted))
            self.stopped = wanted
        if title == "push a manifest whose layer is missing":
            # Not in the recording: its repository was deleted before.
            self.registry_token = self.push_token()
            self.push_blob(self.layer)
            self.push_blob(self.config)

    def _token(self, exchange: Exchange) -> str:
        if "bad token" in exchange.title:
            return "no-such-token"
        return self.registry_token if exchange.path.startswith("/v2/") else self.api_token

    def _body(self, exchange: Exchange) -> bytes:
        match exchange.title.partition(" ")[0], exchange.method:
            case "initialise:", _:
                return b"not JSON"
            case "send", _:
                self.sent = self.config if self.sent else self.layer
                return self.sent
            case "finish", "PUT" if "wrong" in exchange.title:
                return b"something else"
            case "manifest", "PUT":
                return self.manifest()
            case "push", "PUT" if "missing" in exchange.title:
                return self.manifest(layer=f"sha256:{'2' * 64}")
            case "push", "PUT":
                return self.manifest(indent=1)
        return b""

    def _learn(self, answer: requests.Response) -> None:
        self.upload = answer.headers.get("Docker-Upload-UUID", self.upload)
        self.csrf = answer.headers.get("X-Next-CSRF-Token", self.csrf)
        if not answer.headers.get("Content-Type", "").startswith("application/json"):
            return
        body = answer.json() if answer.content else {}
        if not isinstance(body, dict):
            return
        self.api_token = body.get("access_token", self.api_token)
        self.csrf = body.get("csrf_token", self.csrf)
        if "/v2/auth" in str(answer.url):
            self.registry_token = body.get("token", self.registry_token)


def digest(content: bytes) -> str:
    """Return a content's digest, its name in a registry."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _password(title: str) -> str:
    if "short" in title:
        return "short"
    return "another-password" if "wrong" in title else ADMIN_PASSWORD


def outline(value: Any, key: str = "") -> Any:
    """Return a JSON value without what may differ between servers: tokens, times, addresses."""
    if isinstance(value, dict):
        return {name: outline(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [outline(item, "in a list") for item in value]
    compared = ("code", "in a list", "message", "name", "status", "status_code", "type", "username")
    if isinstance(value, bool) or key in compared or key.startswith(("error_", "detail")):
        return value
    return type(value).__name__
