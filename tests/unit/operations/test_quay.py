"""Quay's schema, its first user, and the proof that it works."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand
from pyinfra.context import ctx_state

from facts.containers import Engine, EngineState
from facts.files import Files
from operations import quay
from quaylab.files import FileState, ManagedFile
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost, text
from tests.unit.operations.conftest import NAME, Site
from tests.unit.quaylab.small_quay import PASSWORD, USER
from tests.unit.states import engine

VERIFICATION = f"{USER}/quaylab-verification"


def _call(command: object, host: FakeHost) -> bool:
    """What pyinfra does with a function; whether it succeeded."""
    assert isinstance(command, FunctionCommand)
    with host.current():
        return bool(command.function(None, host, *command.args))


def _engine(lab: Plan, **changes: Any) -> EngineState:
    return engine(lab.quay[NAME].container, **changes)


def _failure(command: object, host: FakeHost) -> str:
    """What a failing command tells in its one line."""
    if isinstance(command, FunctionCommand):
        assert not _call(command, host)
        (line,) = host.told
        return line
    done = subprocess.run(["sh", "-c", text(command)], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


# --- the schema ---


def test_schema_is_migrated_before_the_first_start(lab: Plan) -> None:
    commands = FakeHost().shell(quay.migrated, plan=lab)
    assert [command.split()[1] for command in commands] == ["network", "volume", "rm", "run"]
    assert "migrate head" in commands[-1]
    assert "--rm" in commands[-1]
    assert "/etc/quaylab/quay:/conf/stack:ro,z" in commands[-1]


def test_schema_of_this_image_is_not_migrated_again(lab: Plan) -> None:
    host = FakeHost({Engine: _engine(lab)})
    assert host.shell(quay.migrated, plan=lab) == []
    assert host.noops == ["the schema is that of v3.18.0"]


def test_schema_of_another_image_is_migrated(lab: Plan) -> None:
    host = FakeHost({Engine: _engine(lab, image="quay.io/projectquay/quay:v3.17.4")})
    assert "migrate head" in host.shell(quay.migrated, plan=lab)[-1]


# --- what it needs ---


def _services_answer(host: FakeHost, lab: Plan, executing: bool = True) -> list[Any]:
    with ctx_state.use(SimpleNamespace(is_executing=executing)):
        return host.operate(quay.services_answer, plan=lab)


def test_services_that_answer(site: Site) -> None:
    host = site.host()
    assert _services_answer(host, site.lab()) == []
    assert re.fullmatch(
        r"database 15\.4 answers in \d+ ms, Redis 7\.2\.4 answers in \d+ ms", host.noops[0]
    )


def test_services_are_not_asked_while_planning(lab: Plan) -> None:
    host = FakeHost()
    assert _services_answer(host, lab, executing=False) == []
    assert host.noops == ["asked when the run comes to it"]


def test_a_service_that_does_not_answer_stops_the_run(site: Site) -> None:
    host, lab = site.host(), site.lab(redis_port=1)
    (command,) = _services_answer(host, lab)
    assert _failure(command, host).startswith("Redis at quaylab-redis:")


# --- the superuser ---


def test_superuser_is_made_once(site: Site) -> None:
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.superuser, plan=lab)
    assert _call(command, host)
    assert site.quay.users == {USER: PASSWORD}
    assert host.operate(quay.superuser, plan=lab) == []
    assert host.noops == [f"{USER} is there and a superuser"]


@pytest.mark.parametrize(
    ("users", "superusers", "told"),
    [
        ({USER: "another-password"}, {USER}, "superuser_password: Quay has users, but"),
        ({"someone": PASSWORD}, {USER}, "superuser_password: Quay has users, but"),
        ({}, set(), f"quay_superuser: Quay made {USER}, but no superuser"),
    ],
    ids=["another password", "other users", "no superuser"],
)
def test_why_there_is_no_superuser_is_told_in_one_line(
    site: Site, users: dict[str, str], superusers: set[str], told: str
) -> None:
    site.quay.users.update(users)
    site.quay.superusers = superusers
    host = site.host()
    (command,) = host.operate(quay.superuser, plan=site.lab())
    line = _failure(command, host)
    assert line.startswith(told)
    assert PASSWORD not in line


def test_another_server_at_quays_port_is_told(site: Site) -> None:
    site.quay.force("GET /csrf_token", 200, "<html>")
    site.quay.force("POST /api/v1/user/initialize", 502, "<html>")
    host = site.host()
    (command,) = host.operate(quay.superuser, plan=site.lab())
    assert _failure(command, host) == f"Quay on {NAME}: POST /api/v1/user/initialize: HTTP 502"


# --- the proof ---


def _mark(lab: Plan, content: str = "c0ffee\n") -> dict[str, FileState]:
    file = ManagedFile(quay.VERIFIED, content)
    return {file.path: FileState(0, 0, 0o644, file.sha256)}


def test_a_container_not_verified_before_is_verified(site: Site) -> None:
    site.quay.users[USER] = PASSWORD
    lab = site.lab()
    host = site.host({Engine: _engine(lab), Files: _mark(lab, "another\n")})
    prove, remember = host.operate(quay.verified, plan=lab)
    assert _call(prove, host)
    assert f"PUT /v2/{VERIFICATION}/manifests/verify" in site.quay.seen
    assert site.quay.repositories == set()
    assert quay.VERIFIED in text(remember)


def test_a_verified_container_is_only_asked_for_its_health(site: Site) -> None:
    lab = site.lab()
    host = site.host({Engine: _engine(lab), Files: _mark(lab)})
    assert host.operate(quay.verified, plan=lab) == []
    assert host.noops == ["postgresql 15.4, Redis 7.2.4, auth, database healthy"]
    assert site.quay.seen == ["GET /health/endtoend"]


def test_a_push_that_fails_is_told_in_one_line(site: Site) -> None:
    site.quay.users[USER] = PASSWORD
    site.quay.force(f"PUT /v2/{VERIFICATION}/manifests/verify", 500)
    host, lab = site.host(), site.lab()
    prove, _ = host.operate(quay.verified, plan=lab)
    assert (
        _failure(prove, host)
        == f"Quay on {NAME}: PUT /v2/{VERIFICATION}/manifests/verify: HTTP 500"
    )


def test_bad_health_is_told_in_one_line(site: Site) -> None:
    services = {"data": {"services": {"redis": False, "auth": True}}}
    site.quay.force("GET /health/endtoend", 503, services)
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.verified, plan=lab)
    assert _failure(command, host) == f"/health/endtoend of {lab.topology.url}: failing: redis"


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("QUAYLAB_DATABASE_PASSWORD", "database at quaylab-database:5432: "),
        ("QUAYLAB_REDIS_PASSWORD", "Redis at quaylab-redis:6379: "),
    ],
)
def test_a_service_that_refuses_quays_credentials_is_named(
    site: Site, variable: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = site.lab()
    monkeypatch.setenv(variable, "another-password")
    wrong = dataclasses.replace(lab, credentials=site.store.load())
    host = site.host()
    (command,) = host.operate(quay.verified, plan=wrong)
    line = _failure(command, host)
    assert line.startswith(told)
    assert "another-password" not in line


def test_a_host_that_can_not_be_looked_into_is_told(site: Site) -> None:
    lab = site.lab()
    host = FakeHost(name=NAME)
    (command,) = host.operate(quay.verified, plan=lab)
    assert "only SSH and @local hosts can" in _failure(command, host)


# --- Quay 2.9's wizard ---


class _Wizard(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/setup" else 404)
        self.end_headers()


@contextmanager
def _wizard() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), _Wizard) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def test_a_wizard_that_answers_is_not_waited_for(site: Site) -> None:
    with _wizard() as port:
        host = site.host()
        assert host.operate(quay.wizard_reachable, plan=site.lab(quay_http_port=port)) == []
    assert host.noops == ["/setup answers"]


def test_wizard_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    host = site.host()
    with _wizard() as port:
        lab = site.lab(quay_http_port=port)
        site.quay.force("GET /setup", 200)
        monkeypatch.setattr(quay, "_wizard_answers", lambda host, plan: False)
        (command,) = host.operate(quay.wizard_reachable, plan=lab)
        monkeypatch.undo()
        assert _call(command, host)


def test_wizard_that_does_not_come_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with _wizard() as port:
        lab = site.lab(quay_http_port=port)
    host = site.host()
    (command,) = host.operate(quay.wizard_reachable, plan=lab)
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert (
        _failure(command, host)
        == "Quay's /setup does not answer after 300 s; see: docker logs quaylab-quay"
    )
