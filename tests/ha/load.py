"""Clients of the registry that push and pull all the time, and count what they notice."""

from __future__ import annotations

import json
import secrets
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import urllib3
from urllib3.exceptions import HTTPError

from quaylab.clients.sample_image import MANIFEST, digest, sample_image
from tests.machine.machines import wait_until

# Seconds until a client gives a request up, and until it tries a failed operation again.
TIMEOUT, PATIENCE = 30, 5
# Seconds that a probe waits: a busy machine may need more than one.
PROBE_TIMEOUT = 3
# Requests of a probe that wait at the same time, at most.
WAITING = 40


class RequestFailed(Exception):
    """A request got no answer, or another one than the registry gives to a good request."""


@dataclass
class Counts:
    """What the clients saw. A failed operation was tried twice."""

    requests: int = 0
    failed_requests: list[str] = field(default_factory=list)
    failed_operations: list[str] = field(default_factory=list)
    # Pushes that the registry acknowledged: the manifest's digest by repository and tag.
    pushed: dict[str, str] = field(default_factory=dict)
    pulls: int = 0
    # The longest time in seconds in which no probe got an answer, and in which the registry
    # acknowledged no write.
    gap: float = 0
    gap_of_writes: float = 0

    def __str__(self) -> str:
        return (
            f"{self.requests} requests, {len(self.failed_requests)} failed; {len(self.pushed)} "
            f"pushes acknowledged, {self.pulls} pulls; {len(self.failed_operations)} operations "
            f"failed twice; longest gap {self.gap:.1f} s, of writes {self.gap_of_writes:.1f} s"
            + "".join(f"\n    {each}" for each in self.failed_requests[:20])
        )


class Load:
    """Some clients in threads, a probe that asks ten times a second, and one that writes twice a
    second. The first client keeps its connection, as one that pulls many layers does."""

    def __init__(
        self, address: str, registry: str, ca: str, user: str, password: str, clients: int = 3
    ) -> None:
        self._address = address
        self._registry = registry
        self._context = ssl.create_default_context(cadata=ca)
        self._login = b64encode(f"{user}:{password}".encode()).decode()
        self._user = user
        self._clients = clients
        self._stop = threading.Event()
        # Each load pushes to repositories of its own, also each time that its clients run.
        self._name = secrets.token_hex(3)
        self._runs = 0
        self._lock = threading.Lock()
        self.counts = Counts()

    @contextmanager
    def running(self, probe_timeout: float = PROBE_TIMEOUT) -> Iterator[Counts]:
        """Run the clients during the block; at its end they finish what they are at.

        + probe_timeout: seconds that the probe waits for an answer
        """
        self._stop.clear()
        self._runs += 1
        self.counts = Counts()
        threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(self._clients)
        ]
        threads.append(threading.Thread(target=self._probe, args=(probe_timeout,)))
        threads.append(threading.Thread(target=self._probe_writes, args=(probe_timeout,)))
        for thread in threads:
            thread.start()
        try:
            yield self.counts
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def await_pull(self) -> None:
        """Wait until a client has pushed and pulled, so that all are at work."""
        wait_until(lambda: self.counts.pulls > 0, "a client has pulled")

    def await_push(self, seconds: float) -> None:
        """Wait until a push ends well that began after now, or the time is over."""
        end = time.monotonic() + seconds
        wanted = len(self.counts.pushed) + self._clients + 1
        while time.monotonic() < end and len(self.counts.pushed) < wanted:
            time.sleep(0.2)

    def lost(self, counts: Counts) -> list[str]:
        """Return the acknowledged pushes that can't be pulled with the same content now."""
        with self._connection() as client:
            return [
                name
                for name, pushed in counts.pushed.items()
                if not self._has(client, name, pushed)
            ]

    def _has(self, client: urllib3.HTTPSConnectionPool, name: str, pushed: str) -> bool:
        repository, _, tag = name.rpartition(":")
        bearer = self._token(client, repository)
        # Without it Quay converts the manifest to another format.
        headers = {**bearer, "Accept": MANIFEST}
        manifest = self._send(client, "GET", f"/v2/{repository}/manifests/{tag}", headers)
        layers = json.loads(manifest)["layers"]
        return digest(manifest) == pushed and all(
            digest(self._blob(client, f"/v2/{repository}/blobs/{each}", bearer)) == each
            for each in (layer["digest"] for layer in layers)
        )

    def _blob(
        self, client: urllib3.HTTPSConnectionPool, path: str, headers: dict[str, str]
    ) -> bytes:
        """Fetch a blob, from Quay's proxy in front of the store where there is one."""
        answer = self._answer(client, "GET", path, headers, None, 200, 302)
        if answer.status == 200:
            return answer.data
        location = urllib3.util.parse_url(answer.headers["Location"])
        assert location.netloc == self._registry
        return self._send(client, "GET", location.request_uri, {})

    def _work(self, number: int) -> None:
        count = 0
        with self._connection() as kept:
            while not self._stop.is_set():
                count += 1
                name = f"{self._user}/load-{self._name}-{self._runs}-{number}"
                client = kept if number == 0 else None
                if self._tried_twice(self._push, name, count, client):
                    self._tried_twice(self._pull, name, count, client)

    def _tried_twice(
        self,
        operation: Callable[[urllib3.HTTPSConnectionPool, str, int], None],
        repository: str,
        count: int,
        kept: urllib3.HTTPSConnectionPool | None,
    ) -> bool:
        reasons = []
        for _ in range(2):
            try:
                with nullcontext(kept) if kept else self._connection() as client:
                    operation(client, repository, count)
            except RequestFailed as error:
                reasons.append(str(error))
                time.sleep(PATIENCE)
            else:
                return True
        with self._lock:
            self.counts.failed_operations.append(f"{repository}:{count}: {'; '.join(reasons)}")
        return False

    def _push(self, client: urllib3.HTTPSConnectionPool, repository: str, count: int) -> None:
        # Another layer each time: blobs that are known are not stored again.
        image = sample_image(f"{repository} {count} {time.monotonic_ns()}\n")
        bearer = self._token(client, repository)
        for blob in (image.layer, image.configuration):
            place = self._location(client, f"/v2/{repository}/blobs/uploads/", bearer)
            joint = "&" if "?" in place else "?"
            self._send(client, "PUT", f"{place}{joint}digest={digest(blob)}", bearer, blob, 201)
        path = f"/v2/{repository}/manifests/{count}"
        headers = {**bearer, "Content-Type": MANIFEST}
        self._send(client, "PUT", path, headers, image.manifest, 201)
        with self._lock:
            self.counts.pushed[f"{repository}:{count}"] = digest(image.manifest)

    def _pull(self, client: urllib3.HTTPSConnectionPool, repository: str, count: int) -> None:
        name = f"{repository}:{count}"
        if not self._has(client, name, self.counts.pushed[name]):
            raise RequestFailed(f"{name} came back changed")
        with self._lock:
            self.counts.pulls += 1

    def _probe(self, timeout: float) -> None:
        def ask(client: urllib3.HTTPSConnectionPool) -> None:
            self._answer(client, "GET", "/v2/", {}, None, 401)

        self.counts.gap = self._longest_gap(ask, 0.1, timeout)

    def _probe_writes(self, timeout: float) -> None:
        """Begin uploads, which Quay's database remembers."""
        repository = f"{self._user}/load-{self._name}-{self._runs}-begun"
        bearer: dict[str, str] = {}

        def begin(client: urllib3.HTTPSConnectionPool) -> None:
            bearer.update(bearer or self._token(client, repository))
            self._location(client, f"/v2/{repository}/blobs/uploads/", bearer)

        self.counts.gap_of_writes = self._longest_gap(begin, 0.5, timeout)

    def _longest_gap(
        self,
        request: Callable[[urllib3.HTTPSConnectionPool], None],
        pause: float,
        timeout: float,
    ) -> float:
        """Send a request after each pause, each on a new connection, until the clients stop; return
        the longest time in seconds in which none was answered well. One without an answer keeps no
        other one from being sent, but for some that wait at the same time."""
        answered = [time.monotonic()]
        places = threading.Semaphore(WAITING)

        def send() -> None:
            try:
                with suppress(RequestFailed), self._connection(timeout) as client:
                    request(client)
                    answered.append(time.monotonic())
            finally:
                places.release()

        with ThreadPoolExecutor(WAITING) as pool:
            while not self._stop.wait(pause):
                if places.acquire(blocking=False):
                    pool.submit(send)
            end = time.monotonic()
        times = [*sorted(each for each in answered if each < end), end]
        return max(after - before for before, after in pairwise(times))

    @property
    def _host(self) -> dict[str, str]:
        return {"Host": self._registry}

    @contextmanager
    def _connection(self, timeout: float = TIMEOUT) -> Iterator[urllib3.HTTPSConnectionPool]:
        """Open a connection of its own, as each command of a Docker client does."""
        hostname = self._registry.partition(":")[0]
        pool = urllib3.HTTPSConnectionPool(
            self._address,
            443,
            ssl_context=self._context,
            assert_hostname=hostname,
            server_hostname=hostname,
            retries=False,
            timeout=timeout,
            maxsize=1,
        )
        try:
            yield pool
        finally:
            pool.close()

    def _token(self, client: urllib3.HTTPSConnectionPool, repository: str) -> dict[str, str]:
        query = f"service={self._registry}&scope=repository:{repository}:pull,push"
        headers = {"Authorization": f"Basic {self._login}"}
        answer = self._send(client, "GET", f"/v2/auth?{query}", headers)
        return {"Authorization": f"Bearer {json.loads(answer)['token']}"}

    def _location(
        self, client: urllib3.HTTPSConnectionPool, path: str, headers: dict[str, str]
    ) -> str:
        answer = self._answer(client, "POST", path, headers, None, 202)
        return urllib3.util.parse_url(answer.headers["Location"]).request_uri

    def _send(
        self,
        client: urllib3.HTTPSConnectionPool,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        expect: int = 200,
    ) -> bytes:
        return self._answer(client, method, path, headers, body, expect).data

    def _answer(
        self,
        client: urllib3.HTTPSConnectionPool,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None,
        *expect: int,
    ) -> urllib3.BaseHTTPResponse:
        reason = ""
        try:
            answer = client.urlopen(method, path, body=body, headers={**self._host, **headers})
            if answer.status in expect:
                return answer
            reason = f"HTTP {answer.status} {answer.data[:200]!r}"
        except (HTTPError, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        finally:
            with self._lock:
                self.counts.requests += 1
                if reason:
                    self.counts.failed_requests.append(
                        f"{time.strftime('%T')} {method} {path.partition('?')[0]}: {reason}"
                    )
        raise RequestFailed(f"{method} {path.partition('?')[0]}: {reason}")
