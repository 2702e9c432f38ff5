"""Quay's schema, its superuser, and the verification that it works."""

from __future__ import annotations

import base64
import dataclasses
import re
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand

from facts.containers import Engine, EngineState
from facts.files import Files
from facts.network import UnreachableTargets
from operations import credentials
from operations.services import dumps, quay, superuser
from quaylab import plan
from quaylab.engines.docker import Docker
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import FileState, ManagedFile
from quaylab.paths import SCHEMA_NOTE
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store, with_new_passwords
from quaylab.upgrade import schema_version
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.operations.conftest import NAME, Site
from tests.unit.quaylab.small_quay import PASSWORD, USER
from tests.unit.samples import host as host_input
from tests.unit.samples import machine
from tests.unit.shell import Shell
from tests.unit.states import engine

VERIFICATION = f"{USER}/quaylab-verification-c0ffee"


def _engine(lab: Plan, **changes: Any) -> EngineState:
    return engine(lab.workload("quay", NAME).container, **changes)


def _failure(command: object, host: FakeHost) -> str:
    """Return the one line that a failing command prints."""
    if isinstance(command, FunctionCommand):
        assert not host.call(command)
        (line,) = host.messages
        return line
    done = subprocess.run(["sh", "-c", text(command)], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


# --- the schema ---


def test_schema_is_migrated_before_the_first_start(lab: Plan) -> None:
    *commands, note = FakeHost().operate(quay.migrated, plan=lab)
    network, volume, ended, migrate = map(text, commands)
    wait, remove = ended.split("; ")
    assert "docker network create" in network
    assert "docker volume create" in volume
    assert wait.startswith("docker wait quaylab-migration ")
    assert remove.startswith("docker rm --force --volumes quaylab-migration ")
    assert "/etc/quaylab/quay:/conf/stack:ro,z" in migrate
    assert "migrate head" in migrate
    assert base64.b64decode(stdin(note)) == b"v3.18.0\n"


def test_a_current_schema_is_not_migrated_again(store: Store) -> None:
    note = schema_version.note("v3.18.0")
    host = FakeHost({Files: {note.path: FileState(0, 0, note.mode, note.sha256)}})
    assert host.shell(quay.migrated, plan=_plan_with_schema("v3.18.0", store)) == []
    assert host.noops == ["the schema is that of v3.18.0"]


def test_a_schema_that_only_the_containers_label_has_is_recorded_again(store: Store) -> None:
    """The container may be removed at any time; then only the note can show a lost database."""
    (note,) = FakeHost().operate(quay.migrated, plan=_plan_with_schema("v3.18.0", store))
    assert SCHEMA_NOTE in text(note)
    assert base64.b64decode(stdin(note)) == b"v3.18.0\n"


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("migrating v3.16.5 to v3.18.0", "v3.16.5 still serves. Repair the cause"),
        ("v3.16.5", "v3.16.5 still serves. Repair the cause and run again, or go back"),
        (None, "migrating to v3.18.0 failed; its last messages are above"),
    ],
    ids=["again", "upgrade", "first"],
)
def test_a_failed_migration_shows_its_last_lines_and_how_to_go_back(
    store: Store, shell: Shell, monkeypatch: pytest.MonkeyPatch, schema: str | None, message: str
) -> None:
    monkeypatch.setattr(dumps, "restore_command", lambda plan: "pyinfra tasks/restore_database.py")
    shell.stub("docker", 'case "$1" in run) seq 20; echo column exists >&2; exit 1 ;; esac')
    *_, migrate, _ = FakeHost().operate(quay.migrated, plan=_plan_with_schema(schema, store))
    done = shell.run(text(migrate))
    assert done.returncode == 1
    *log, last = done.stderr.splitlines()
    assert (len(log), log[-1]) == (10, "column exists")
    assert message in last
    assert ("pyinfra tasks/restore_database.py" in last) is (schema is not None)


def _plan_with_schema(schema: str | None, store: Store) -> Plan:
    """Return the plan for a host with a note of the schema and with the data."""
    found = machine(schema=schema, volumes=(Volume("quaylab-database", {}),))
    return plan.make([host_input(NAME)], {NAME: found}, store)


# --- its services ---


def _services_answer(host: FakeHost, lab: Plan, executing: bool = True) -> list[Any]:
    host.executing = executing
    return host.operate(quay.services_answer, plan=lab)


def test_services_that_answer(site: Site) -> None:
    host = site.host()
    assert _services_answer(host, site.lab()) == []
    assert re.fullmatch(
        r"PostgreSQL 15\.4 answers in \d+ ms, Redis 7\.2\.4 answers in \d+ ms", host.noops[0]
    )


def test_services_are_not_asked_while_planning(lab: Plan) -> None:
    host = FakeHost()
    assert _services_answer(host, lab, executing=False) == []
    assert host.noops == ["asked when the run comes to it"]


def test_a_service_that_does_not_answer_stops_the_run(site: Site) -> None:
    host, lab = site.host(), site.lab(redis_port=1)
    (command,) = _services_answer(host, lab)
    assert _failure(command, host).startswith("Redis at quaylab-redis:")


def test_a_service_that_containers_do_not_reach_stops_the_run(site: Site) -> None:
    """Although the host does: containers' packets are forwarded, and their DNS is another."""
    host = site.host({UnreachableTargets: {("quaylab-redis", 6379): "Connection refused"}})
    (command,) = _services_answer(host, site.lab())
    assert _failure(command, host).startswith(
        f"Redis at quaylab-redis:6379: {NAME} reaches it, but its containers don't: "
        "Connection refused; "
    )
    (asked,) = [arguments for arguments in host.asked if "targets" in arguments]
    assert asked["targets"] == [("quaylab-database", 5432), ("quaylab-redis", 6379)]


@pytest.mark.parametrize(
    ("changes", "inside"),
    [
        ({}, True),
        ({"state": "exited"}, False),
        ({"state": "restarting"}, False),
        ({"networks": {"bridge": "b"}}, False),
    ],
    ids=["running", "stopped", "restarting", "off our network"],
)
def test_reach_is_asked_in_quays_container_only_if_it_runs_on_our_network(
    lab: Plan, changes: dict[str, Any], inside: bool
) -> None:
    """Otherwise in another container of its image: this one will be replaced or started."""
    arguments = quay.reach_arguments(lab, NAME, _engine(lab, **changes))
    assert arguments["inside"] is inside
    assert arguments["image"] == lab.workload("quay", NAME).image.reference
    assert arguments["targets"] == [("quaylab-database", 5432), ("quaylab-redis", 6379)]


def test_reach_is_asked_in_another_container_before_quays_exists(lab: Plan) -> None:
    assert not quay.reach_arguments(lab, NAME, EngineState({}, {}, (), {}))["inside"]


# --- the superuser ---


def test_superuser_is_created_once(site: Site) -> None:
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.superuser_present, plan=lab)
    assert host.call(command)
    assert site.quay.users == {USER: PASSWORD}
    assert host.operate(quay.superuser_present, plan=lab) == []
    assert host.noops == [f"{USER} is there and a superuser"]


@pytest.mark.parametrize("has", ["before", "rotated"])
def test_superuser_gets_the_given_password_whichever_one_quay_has(
    site: Site, has: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation was killed before or after Quay took the new password; then one was given."""
    rotation = with_new_passwords(site.store.load({}), ["superuser_password"])
    site.store.save(rotation)
    rotated_to = rotation.superuser_password.get_secret_value()
    site.quay.users[USER] = PASSWORD if has == "before" else rotated_to
    monkeypatch.setenv("QUAYLAB_SUPERUSER_PASSWORD", "given-by-me")
    host, lab = site.host(), site.lab()
    (save,) = host.operate(credentials.saved, plan=lab)
    assert host.call(save)
    (command,) = host.operate(quay.superuser_present, plan=lab)
    assert host.call(command), host.messages
    assert site.quay.users == {USER: "given-by-me"}
    settled = site.store.load({})
    assert settled.superuser_password.get_secret_value() == "given-by-me"
    assert settled.superuser_passwords_before == ()


def test_after_an_older_dump_the_superuser_gets_the_current_password_again(site: Site) -> None:
    rotation = with_new_passwords(site.store.load({}), ["superuser_password"])
    site.store.save(rotation.with_confirmed_password())
    host = site.host()
    (remember,) = host.operate(credentials.former_passwords_saved, plan=site.lab())
    assert host.call(remember)
    site.quay.users[USER] = PASSWORD  # the password in the dump
    (command,) = host.operate(quay.superuser_present, plan=site.lab())
    assert host.call(command), host.messages
    assert site.quay.users == {USER: rotation.superuser_password.get_secret_value()}
    assert site.store.load({}) == rotation.with_confirmed_password()


def test_a_superuser_password_that_only_quay_has_is_taken_from_the_environment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quay.users[USER] = "changed-by-hand"
    monkeypatch.setenv("QUAYLAB_SUPERUSER_PASSWORD", "changed-by-hand")
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.superuser_present, plan=lab)
    assert host.call(command), host.messages
    assert site.store.load({}).superuser_passwords_before == ()


def test_if_no_password_is_right_all_candidates_stay_saved(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quay.users[USER] = "changed-by-hand"
    monkeypatch.setenv("QUAYLAB_SUPERUSER_PASSWORD", "a-wrong-guess")
    host, lab = site.host(), site.lab()
    (save,) = host.operate(credentials.saved, plan=lab)
    assert host.call(save)
    (command,) = host.operate(quay.superuser_present, plan=lab)
    assert not host.call(command)
    assert "give the one that Quay has as QUAYLAB_SUPERUSER_PASSWORD" in host.messages[0]
    assert site.store.load({}).superuser_passwords == (PASSWORD, "a-wrong-guess")


def test_after_too_many_wrong_passwords_the_waiting_time_is_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quay.users[USER] = PASSWORD
    site.quay.wrong, site.quay.shut_until = 12, time.monotonic() + 2000
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.superuser_present, plan=lab)
    assert not host.call(command)
    assert re.search(
        r"lets nobody in as quayadmin for \d+ s, after too many wrong", host.messages[0]
    )


def test_a_wrong_password_is_tried_once(site: Site) -> None:
    """With each further one Quay refuses the superuser for twice as long."""
    site.quay.users[USER] = "changed-by-hand"
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.superuser_present, plan=lab)
    assert not host.call(command)
    assert "give the one that Quay has as QUAYLAB_SUPERUSER_PASSWORD" in host.messages[0]
    assert site.quay.seen.count("POST /api/v1/signin") == 1


def test_a_password_that_cannot_be_saved_is_reported_in_one_line(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quay.users[USER] = PASSWORD
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.superuser_present, plan=lab) or (None,)
    assert command is None, "the superuser exists"
    site.store.save(with_new_passwords(lab.credentials, ["superuser_password"]))
    lab = site.lab()
    (command,) = host.operate(quay.superuser_present, plan=lab)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert not host.call(command)
    assert host.messages == [f"{lab.store.path} can't be written: No space left on device"]


def test_a_stopped_quay_is_not_asked_for_a_superuser_while_planning(site: Site) -> None:
    lab = site.lab(has_data=True)
    host = site.host({Engine: _engine(lab, state="exited")})
    host.executing = False
    assert host.operate(quay.superuser_present, plan=lab) == []
    assert host.noops == ["asked when the run has brought Quay up"]
    assert site.quay.seen == []


def test_a_dry_first_run_plans_to_create_the_superuser(site: Site) -> None:
    host = site.host()
    host.executing = False
    assert len(host.operate(quay.superuser_present, plan=site.lab())) == 1


@pytest.mark.parametrize(
    ("users", "superusers", "message"),
    [
        ({USER: "another-password"}, {USER}, "superuser_password: Quay has users, but"),
        ({"someone": PASSWORD}, {USER}, "superuser_password: Quay has users, but"),
        ({}, set(), f"quay_superuser: Quay created {USER}, but not as a superuser"),
    ],
    ids=["another password", "other users", "no superuser"],
)
def test_the_reason_for_no_superuser_is_reported_in_one_line(
    site: Site, users: dict[str, str], superusers: set[str], message: str
) -> None:
    site.quay.users.update(users)
    site.quay.superusers = superusers
    host = site.host()
    (command,) = host.operate(quay.superuser_present, plan=site.lab())
    line = _failure(command, host)
    assert line.startswith(message)
    assert PASSWORD not in line


def test_another_server_on_quays_port_is_reported(site: Site) -> None:
    site.quay.force("GET /csrf_token", 200, "<html>")
    site.quay.force("POST /api/v1/user/initialize", 502, "<html>")
    host = site.host()
    (command,) = host.operate(quay.superuser_present, plan=site.lab())
    assert _failure(command, host) == f"Quay on {NAME}: POST /api/v1/user/initialize: HTTP 502"


# --- the verification ---


def _mark(lab: Plan, content: str = "c0ffee\n") -> dict[str, FileState]:
    file = ManagedFile(quay.VERIFIED, content)
    return {file.path: FileState(0, 0, 0o644, file.sha256)}


def test_a_new_container_is_verified(site: Site) -> None:
    site.quay.users[USER] = PASSWORD
    lab = site.lab()
    host = site.host({Engine: _engine(lab), Files: _mark(lab, "another\n")})
    verify, remember = host.operate(quay.verified, plan=lab)
    assert host.call(verify)
    assert any(f"PUT /v2/{USER}/{superuser.VERIFICATION}" in request for request in site.quay.seen)
    assert site.quay.repositories == set()
    assert quay.VERIFIED in text(remember)


def test_of_a_verified_container_only_the_health_is_checked(site: Site) -> None:
    lab = site.lab()
    host = site.host({Engine: _engine(lab), Files: _mark(lab)})
    assert host.operate(quay.verified, plan=lab) == []
    assert host.noops == ["PostgreSQL 15.4, Redis 7.2.4, auth, database healthy"]
    assert site.quay.seen == ["GET /health/endtoend"]


@pytest.mark.parametrize(
    ("change", "due"),
    [({}, False), ({"state": "exited"}, False), ({"image": "other:1"}, True)],
    ids=["as verified", "only stopped", "about to be replaced"],
)
def test_a_dry_run_plans_the_verification_if_it_is_due(
    site: Site, change: dict[str, Any], due: bool
) -> None:
    lab = site.lab()
    host = site.host({Engine: _engine(lab, **change), Files: _mark(lab)})
    host.executing = False
    assert bool(host.operate(quay.verified, plan=lab)) is due
    assert site.quay.seen == []


def test_a_failed_push_is_reported_in_one_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "c0ffee")
    site.quay.users[USER] = PASSWORD
    site.quay.force(f"PUT /v2/{VERIFICATION}/manifests/verify", 500)
    host, lab = site.host(), site.lab()
    verify, _ = host.operate(quay.verified, plan=lab)
    assert (
        _failure(verify, host)
        == f"Quay on {NAME}: PUT /v2/{VERIFICATION}/manifests/verify: HTTP 500"
    )


@pytest.mark.parametrize(
    ("words", "due", "asked"),
    [
        (["-y", "deploy.py"], None, 2),
        (["-y", "tasks/quay.py"], None, 2),
        (["-y", "tasks/redis.py"], None, 1),
        (["deploy.py"], None, 0),
        (["-y", "--dry", "deploy.py"], None, 0),
        (["-y", "deploy.py"], "start", 0),
        (["-y", "deploy.py"], "replace", 0),
    ],
    ids=["deploy", "Quay", "Redis", "prompt", "dry", "stopped", "changed"],
)
def test_health_and_superuser_are_asked_early_if_the_answers_serve(
    site: Site, monkeypatch: pytest.MonkeyPatch, words: list[str], due: str | None, asked: int
) -> None:
    monkeypatch.setattr("sys.argv", ["pyinfra", *words])
    monkeypatch.setattr(Docker, "due", lambda *arguments: due)
    monkeypatch.setattr(quay, "inventory", SimpleNamespace(get_host={NAME: site.host()}.get))
    questions = quay.early_questions(site.lab())
    for ask in questions:
        ask()
    assert len(questions) == asked
    assert bool(site.quay.seen) is bool(asked)


def test_a_refusal_is_remembered_of_the_host_itself(site: Site) -> None:
    """pyinfra's `host` would be taken for any other one."""
    site.quay.users[USER] = "another"
    host = site.host()
    host.operate(quay.superuser_present, plan=site.lab())
    assert id(host) in map(id, quay._refusing)


def test_a_password_that_was_refused_early_is_not_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quay.users[USER] = "another"
    host, lab = site.host(), site.lab()
    monkeypatch.setattr("sys.argv", ["pyinfra", "-y", "deploy.py"])
    monkeypatch.setattr(Docker, "due", lambda *arguments: None)
    monkeypatch.setattr(quay, "inventory", SimpleNamespace(get_host={NAME: host}.get))
    for ask in quay.early_questions(lab):
        ask()
    (command,) = host.operate(quay.superuser_present, plan=lab)
    failure = _failure(command, host)
    assert "can't sign in as a superuser" in failure
    assert "somebody else may have created the first user of this new registry: purge" in failure
    assert site.quay.seen.count("POST /api/v1/signin") == 1


def test_bad_health_is_reported_in_one_line(site: Site) -> None:
    services = {"data": {"services": {"redis": False, "auth": True}}}
    site.quay.force("GET /health/endtoend", 503, services)
    host, lab = site.host(), site.lab()
    (command,) = host.operate(quay.verified, plan=lab)
    assert _failure(command, host) == f"/health/endtoend of {lab.topology.url}: failing: redis"


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("QUAYLAB_DATABASE_PASSWORD", "database at quaylab-database:5432: "),
        ("QUAYLAB_REDIS_PASSWORD", "Redis at quaylab-redis:6379: "),
    ],
)
def test_a_service_that_refuses_quays_credentials_is_named(
    site: Site, variable: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = site.lab()
    monkeypatch.setenv(variable, "another-password")
    wrong = dataclasses.replace(lab, credentials=site.store.load())
    host = site.host()
    (command,) = host.operate(quay.verified, plan=wrong)
    line = _failure(command, host)
    assert line.startswith(message)
    assert "another-password" not in line


def test_a_host_without_a_tunnel_is_reported(site: Site) -> None:
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
        assert host.call(command)


def test_a_wizard_that_does_not_come_is_reported(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
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


# --- the balancer in front of it ---


@pytest.fixture
def balanced_lab(site: Site) -> Plan:
    """The plan of a registry whose balancer, which runs elsewhere, is at the small Quay's port."""
    return site.lab(balancer_host="127.0.0.1", server_hostname=NAME)


def test_a_registry_that_answers_at_the_balancer(site: Site, balanced_lab: Plan) -> None:
    host = site.host()
    assert host.operate(quay.balanced, plan=balanced_lab) == []
    assert host.noops == [f"{balanced_lab.topology.url} answers"]
    assert site.quay.seen == ["GET /health/instance"]


def test_it_is_waited_for_until_the_balancer_uses_the_nodes(
    site: Site, balanced_lab: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    site.quay.force("GET /health/instance", 503, "no server", times=3)
    host = site.host()
    (command,) = host.operate(quay.balanced, plan=balanced_lab)
    assert host.call(command)
    assert site.quay.seen.count("GET /health/instance") == 4


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        pytest.param(503, "<html><body><h1>503 Service Unavailable</h1>", "HTTP 503", id="no node"),
        pytest.param(502, "", "GET /health/instance: HTTP 502", id="a broken node"),
        pytest.param(
            503, {"data": {"services": {"database": False}}}, "failing: database", id="a sick node"
        ),
    ],
)
def test_a_balancer_that_uses_no_node(
    site: Site,
    balanced_lab: Plan,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: Any,
    reason: str,
) -> None:
    monkeypatch.setattr(quay, "FRONT_TIMEOUT", -1)
    site.quay.force("GET /health/instance", status, body, times=2)
    host = site.host()
    (command,) = host.operate(quay.balanced, plan=balanced_lab)
    line = _failure(command, host)
    front = f"127.0.0.1:{site.quay.server_port}"
    assert line.startswith(
        f"the nodes are healthy, but the registry doesn't answer at the balancer, {front}, within "
    )
    assert reason in line
    assert line.endswith(f"; look at what the balancer says of {front}")


def test_the_superuser_is_asked_for_at_the_hosts_own_node(site: Site) -> None:
    """The balancer, here at a port where nobody listens, may not use it yet."""
    lab = site.lab()
    where = dataclasses.replace(lab.topology, front="127.0.0.9")
    host = site.host({Engine: _engine(lab)})
    (command,) = host.operate(quay.superuser_present, plan=dataclasses.replace(lab, topology=where))
    assert host.call(command)
    assert USER in site.quay.users
