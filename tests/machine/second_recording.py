"""A replay of the second recording: errors, chunked uploads, robots, permissions, caches."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.machine.recorded_contents import (
    BODIES,
    CHUNKS,
    DOCKER,
    MANIFESTS,
    TYPES,
    Contents,
)
from tests.machine.recording import Exchange, digest
from tests.machine.site import ADMIN, ADMIN_PASSWORD

HOST = "quay.quaylab.lan"
NEW_PASSWORD = "another-good-password"

# What the stand-in does not do; it answers 501.
TEAMS = "teams"
REFUSED = {
    "organisation: time not among the options": "settings of an organisation",
    "user: create oneself (FEATURE_USER_CREATION: false)": "users who make themselves",
    "team: make": TEAMS,
    "team: make again, another role": TEAMS,
    "team: add a user": TEAMS,
    "team: add a user twice": TEAMS,
    "team: remove a user": TEAMS,
    "team: remove a user twice": TEAMS,
    "team: delete owners, the last with admin": TEAMS,
    "team: delete twice": TEAMS,
    "application: make": "applications",
    "application: its access token, by a session": "applications",
    "permission: team administers": TEAMS,
    "permission: of teams": TEAMS,
    "permission: transitive": TEAMS,
    "manifest: GET by tag, no Accept": "conversion to schema 1",
    "manifest: HEAD by tag, no Accept": "conversion to schema 1",
    "manifest: GET by tag, Accept OCI only": "conversion to schema 1",
    "index: GET by tag, no Accept": "conversion to schema 1",
    "API tags: bad filter": "filters",
    "API tags: expiration": "expiration of a tag",
    "API tags: expiration in the past": "expiration of a tag",
    "superuser: usage log": "usage logs",
    "usage log: the address that it keeps, by the header sent": "usage logs",
    "metrics: port 9091, plain http, no credentials": "metrics",
}
# From this exchange on the recorded Quay had features with which the stand-in does not start.
FIRST_WITH_FEATURES = (
    "quota: make, FEATURE_SUPERUSERS_FULL_ACCESS not set (from here on FEATURE_QUOTA_MANAGEMENT "
    "and FEATURE_AUTO_PRUNE true, TESTING false)"
)
LAST_WITH_FEATURES = "auto-prune: delete"


def with_features(exchanges: list[Exchange]) -> list[Exchange]:
    """Return the exchanges that need features with which the stand-in refuses to start."""
    titles = [exchange.title for exchange in exchanges]
    first, last = titles.index(FIRST_WITH_FEATURES), titles.index(LAST_WITH_FEATURES)
    return exchanges[first : last + 1]


class SecondReplay:
    """A replay of the second recording to a stand-in behind TLS, with its answers so far."""

    def __init__(self, ports: dict[int, int], bundle: Path) -> None:
        self.port = ports[8443]
        self.ports = ports
        self.bundle = bundle
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = str(bundle / "ssl.cert")
        self.contents = Contents()
        self.sessions: dict[str, requests.Session] = {}
        self.csrf: dict[str, str] = {}
        self.passwords = {ADMIN: ADMIN_PASSWORD}
        self.tokens: dict[tuple[str, ...], str] = {}
        self.token = ""
        self.upload = ""
        user = {"username": ADMIN, "password": ADMIN_PASSWORD, "access_token": True}
        user["email"] = f"{ADMIN}@example.com"
        made = self.request("POST", "/api/v1/user/initialize", json=user).json()
        self.api_token = made["access_token"]
        self.passwords["$oauthtoken"] = self.api_token
        self._before: dict[str, Callable[[], object]] = {
            "superuser: list, user rdev": lambda: self.session("rdev"),
            "robot: delete": lambda: self.api("PUT", "/organization/rec/robots/gone", {}),
            "repository: make public": self._make_repositories,
            "manifest: Docker schema 2, no history in the configuration": self._push_blobs,
            "delete: by tag": self._push_del,
            "upload: status at the start": self.start_upload,
            "upload: PATCH 0-4 a second time": self._start_with_chunk,
            "upload: PATCH without a range": self.start_upload,
            "upload: PUT without a digest": self.start_upload,
            "upload: cancel": self.start_upload,
            "tags: all": self._push_tags,
            "referrers: none": lambda: self.push("rec/app", "SUBJECT", "subject"),
            "public repository, no token at all": lambda: self.push_all("rec/pub", "v1"),
            "token: the right password right after two wrong ones": self._guess,
            "re-made at once: the repository again, after a push, a pull and its deletion": (
                self._push_and_delete
            ),
            "after the deletion, the old token: tags": (
                lambda: self.api("DELETE", "/repository/rec/app")
            ),
            "superuser: delete a user, enabled before": (
                lambda: self.api("PUT", "/superuser/users/rdev2", {"enabled": True})
            ),
            "cache: tags before the push": self._make_rec3,
            "cache: tags after the push (v1)": (
                lambda: self.push_all("rec3/x", "v1", image="DOCKER-A")
            ),
            "cache: push after the organisation was deleted and made again, its repository too": (
                self._make_rec3_again
            ),
        }
        self._after: dict[str, Callable[[], object]] = {
            "upload: PATCH without a range": lambda: self.chunk(b"56789"),
        }

    # --- requests ---

    def here(self, text: str) -> str:
        """Return a text of the recording with this test's digests, types and address."""
        for name, theirs in self.contents.digests().items():
            text = text.replace(f"sha256:<{name}>", f"sha256:{theirs}")
            text = text.replace(f"sha256-<{name}>", f"sha256-{theirs}")
        for name, media_type in TYPES.items():
            text = text.replace(name, media_type)
        return text.replace(HOST, f"127.0.0.1:{self.port}")

    def play(self, exchange: Exchange) -> requests.Response:
        """Bring the stand-in into the state that the title names, and make the request."""
        self._before.get(exchange.title, lambda: None)()
        answer = self._ask(exchange)
        self._learn(exchange, answer)
        self._after.get(exchange.title, lambda: None)()
        return answer

    def _ask(self, exchange: Exchange) -> requests.Response:
        path = self.here(exchange.path).replace("<UUID>", self.upload)
        path = path.replace("<PAGE>", self.token if "catalog" in path else "")
        headers = {name: self.here(value) for name, value in exchange.headers.items()}
        # The default of requests accepts any type.
        headers.setdefault("Accept", "")
        arguments: dict[str, Any] = {"headers": headers, "allow_redirects": False}
        if plain := re.search("port 9091|plain http", exchange.title):
            port = self.ports[9091 if "port" in plain[0] else 8080]
            return requests.get(f"http://127.0.0.1:{port}{path}", timeout=9, **arguments)
        if exchange.json is not None:
            arguments["json"] = self._json(exchange)
        elif body := self._body(exchange):
            arguments["data"] = body
        session = requests.Session()
        if exchange.user:
            password = self._password(exchange.title, exchange.user)
            arguments["auth"] = (exchange.user, password)
        elif path.startswith(("/api/", "/health", "/oauth/")):
            session = self._sign(exchange, headers)
        elif not exchange.anonymous and not path.startswith("/v2/auth"):
            headers["Authorization"] = f"Bearer {self._bearer(exchange)}"
        is_throttled = exchange.status == 429
        answer = self.request(exchange.method, path, session, again=not is_throttled, **arguments)
        for user, known in self.sessions.items():
            if known is session:
                self.csrf[user] = answer.headers.get("X-Next-CSRF-Token", self.csrf[user])
        return answer

    def request(
        self,
        method: str,
        path: str,
        session: requests.Session | None = None,
        again: bool = True,
        **arguments: Any,
    ) -> requests.Response:
        """Make a request; repeat it while the user must wait after wrong passwords."""
        for _ in range(60 if again else 1):
            answer = (session or requests).request(
                method, f"{self.url}{path}", verify=self.certificate, timeout=30, **arguments
            )
            if answer.status_code != 429:
                break
            time.sleep(0.1)
        return answer

    def api(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Make a request that is not in the recording, as the superuser."""
        headers = {"Authorization": f"Bearer {self.api_token}"}
        answer = self.request(method, f"/api/v1{path}", headers=headers, json=body)
        assert answer.ok, answer.text
        return answer

    def session(self, user: str) -> requests.Session:
        """Return a user's session; sign in if there is none."""
        if user not in self.sessions:
            session = requests.Session()
            headers = {"X-Requested-With": "XMLHttpRequest"}
            token = self.request("GET", "/csrf_token", session, headers=headers).json()
            self.csrf[user] = token["csrf_token"]
            if password := self.passwords.get(user):
                login = {"username": user, "password": password}
                headers = {"X-CSRF-Token": self.csrf[user]}
                answer = self.request(
                    "POST", "/api/v1/signin", session, headers=headers, json=login
                )
                assert answer.ok, answer.text
                self.csrf[user] = answer.headers["X-Next-CSRF-Token"]
            self.sessions[user] = session
        return self.sessions[user]

    def _sign(self, exchange: Exchange, headers: dict[str, str]) -> requests.Session:
        """Return the session of the user that the title names."""
        title = exchange.title
        if "Authorization" in headers:
            headers["Authorization"] = f"Bearer {self.api_token}"
            return requests.Session()
        if re.search(r"read without a session|anonymous|all headers", title):
            return requests.Session()
        user = ADMIN
        if re.search(r"user rdev|by rdev|user: new password", title):
            user = "rdev"
        if "/signin" in exchange.path or "without a session" in title:
            user = "nobody"
        session = self.session(user)
        if "no CSRF" not in title:
            headers["X-CSRF-Token"] = self.csrf[user]
        return session

    def _bearer(self, exchange: Exchange) -> str:
        """Return the registry token that the title names."""
        title = exchange.title
        if title.endswith("with it"):
            return self.token
        if "rubbish" in title:
            return "no-such-token"
        if "another service" in title:
            path = "/v2/auth?service=another.example.com"
            return str(self.request("GET", path, auth=(ADMIN, ADMIN_PASSWORD)).json()["token"])
        found = re.match(r"/v2/(.+?)/(manifests|blobs|tags|referrers)/", exchange.path)
        repository = found[1] if found else "rec/app"
        if "token for pull" in title:
            return self.registry_token(f"repository:{repository}:pull")
        if title == "mount: allowed":
            both = (f"repository:{repository}:pull,push", "repository:rec/app:pull")
            return self.registry_token(*both)
        user = "rdev" if "user rdev" in title else ADMIN
        return self.registry_token(f"repository:{repository}:pull,push", user=user)

    def registry_token(self, *scopes: str, user: str = ADMIN) -> str:
        """Return a token for the registry, the same one for the same scopes and user."""
        key = (user, *scopes)
        if key not in self.tokens:
            arguments = "".join(f"&scope={scope}" for scope in scopes)
            path = f"/v2/auth?service=127.0.0.1:{self.port}{arguments}"
            answer = self.request("GET", path, auth=(user, self.passwords[user]))
            self.tokens[key] = answer.json()["token"]
        return self.tokens[key]

    def _json(self, exchange: Exchange) -> Any:
        sent = json.loads(self.here(json.dumps(exchange.json)))
        if "password" in sent:
            sent["password"] = self._password(exchange.title, sent.get("username", ""))
        return sent

    def _password(self, title: str, user: str) -> str:
        if "too short" in title:
            return "short"
        if title == "user: new password":
            return NEW_PASSWORD
        if re.search(r"wrong token|old password|too many wrong", title):
            return "a-wrong-password"
        name = user.removesuffix("@example.com")
        return self.passwords.get(name, "a-password-of-nobody")

    def _body(self, exchange: Exchange) -> bytes:
        if exchange.title in CHUNKS:
            return CHUNKS[exchange.title]
        if exchange.sent.startswith("{"):
            return exchange.sent.encode()
        name = exchange.path.rpartition("/")[2]
        known = re.search(r"manifest (DOCKER-[AB])", exchange.sent)
        if exchange.title in BODIES:
            return self.contents.manifests[BODIES[exchange.title]]
        if known:
            return self.contents.manifests[known[1]]
        return self.contents.manifests.get(MANIFESTS.get(name, ""), b"")

    def _learn(self, exchange: Exchange, answer: requests.Response) -> None:
        self.upload = answer.headers.get("Docker-Upload-UUID", self.upload)
        page = re.search(r"next_page=([^>&]+)", answer.headers.get("Link", ""))
        if page:
            self.token = page[1]
        if exchange.title == "user: new password":
            self.passwords["rdev"] = NEW_PASSWORD
        if not answer.headers.get("Content-Type", "").startswith("application/json"):
            return
        body = answer.json() if answer.content else None
        if not isinstance(body, dict):
            return
        if "/v2/auth" in exchange.path:
            self.token = body.get("token", self.token)
        elif "/robots/" in exchange.path and "token" in body:
            self.passwords[body["name"]] = body["token"]
        elif "/superuser/users" in exchange.path and "password" in body:
            self.passwords[body["username"]] = body["password"]

    # --- requests between the recorded ones ---

    def registry(
        self, method: str, path: str, repository: str, **arguments: Any
    ) -> requests.Response:
        """Make a registry request that is not in the recording, as the superuser."""
        token = self.registry_token(f"repository:{repository}:pull,push")
        headers = {"Authorization": f"Bearer {token}", **arguments.pop("headers", {})}
        answer = self.request(method, f"/v2/{repository}/{path}", headers=headers, **arguments)
        assert answer.ok, answer.text
        return answer

    def start_upload(self) -> None:
        answer = self.registry("POST", "blobs/uploads/", "rec/app")
        self.upload = answer.headers["Docker-Upload-UUID"]

    def chunk(self, content: bytes) -> None:
        self.registry("PATCH", f"blobs/uploads/{self.upload}", "rec/app", data=content)

    def _start_with_chunk(self) -> None:
        self.start_upload()
        self.chunk(b"01234")

    def push_blob(self, repository: str, content: bytes) -> None:
        path = f"blobs/uploads/?digest={digest(content)}"
        self.registry("POST", path, repository, data=content)

    def push(self, repository: str, manifest: str, tag: str) -> None:
        """Push a manifest whose blobs were pushed before."""
        body = self.contents.manifests[manifest]
        headers = {"Content-Type": json.loads(body)["mediaType"]}
        self.registry("PUT", f"manifests/{tag}", repository, headers=headers, data=body)

    def push_all(self, repository: str, *tags: str, image: str = "DOCKER-B") -> None:
        """Push an image with its blobs."""
        self.push_blob(repository, self.contents.blobs[f"LAYER-{image}"])
        self.push_blob(repository, self.contents.blobs[f"CONFIG-{image}"])
        for tag in tags:
            self.push(repository, image, tag)

    def _push_blobs(self) -> None:
        for content in self.contents.blobs.values():
            self.push_blob("rec/app", content)

    def _push_del(self) -> None:
        self.push("rec/app", "DEL", "del")
        self.push("rec/app", "DEL", "del2")
        self.push("rec/app", "DOCKER-B", "b")

    def _push_tags(self) -> None:
        self.push_all("rec/other", "V3", "latest", "v1", "v10", "v2")

    def make_repository(self, path: str) -> None:
        namespace, name = path.split("/")
        body = {"namespace": namespace, "repository": name, "visibility": "private"}
        self.api("POST", "/repository", {**body, "description": ""})

    def _make_repositories(self) -> None:
        self.make_repository("rec/other")
        self.make_repository("rec/pub")

    def _push_and_delete(self) -> None:
        self.push_all("rec/again", "v1", image="DOCKER-A")
        self.registry("GET", "manifests/v1", "rec/again", headers={"Accept": DOCKER})
        self.api("DELETE", "/repository/rec/again")

    def _make_rec3(self) -> None:
        self.api("POST", "/organization/", {"name": "rec3", "email": "rec3@example.com"})
        self.make_repository("rec3/x")

    def _make_rec3_again(self) -> None:
        self.api("DELETE", "/organization/rec3")
        self._make_rec3()
        self.push_blob("rec3/x", self.contents.blobs["LAYER-DOCKER-B"])
        self.push_blob("rec3/x", self.contents.blobs["CONFIG-DOCKER-B"])

    def _guess(self) -> None:
        """Try wrong passwords until the user must wait for seconds."""
        path = f"/v2/auth?service=127.0.0.1:{self.port}"
        for _ in range(4):
            self.request("GET", path, auth=("rdev", "a-wrong-password"))
