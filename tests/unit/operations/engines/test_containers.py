"""Containers: the running ones are compared with the specified ones."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.facts import FactBase

from facts.containers import Engine, Succeeds
from operations.engines import containers
from quaylab import plan
from quaylab.engines import DOCKER, PODMAN, ContainerEngine
from quaylab.engines.state import EngineState
from quaylab.model import NETWORK, Container
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services.base import Workload
from tests.unit.fake_host import FakeHost
from tests.unit.samples import host, machine
from tests.unit.shell import Shell
from tests.unit.states import engine

NAME = "quay.example.com"
VERBS = {"restarts()": "wait", "touch": "touch", "ours": "remove"}
REPLACED = ["remove", "docker run", "wait"]


class Asked(FakeHost):
    """A host in whose containers the ``successful`` commands succeed."""

    successful: tuple[str, ...] = ()

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        if fact is Succeeds:
            return arguments["command"] in self.successful
        return super().get_fact(fact, *values, **arguments)


def _host(wanted: Container, *successful: str, **changes: Any) -> FakeHost:
    """Return a host that runs a container with some differences."""
    found = Asked({Engine: engine(wanted, ("quaylab-database",), **changes)})
    found.successful = successful
    return found


def _verbs(commands: list[str]) -> list[str]:
    """Return each command's first words, such as `docker run`; or `wait` for health, or `remove`
    for the removal of a container of ours."""
    return [
        VERBS.get(command.split()[0].partition("=")[0]) or " ".join(command.split()[:2])
        for command in (each.replace(DOCKER.run_words, "docker run") for each in commands)
    ]


def _run(workload: Workload, host: FakeHost) -> list[str]:
    return _verbs(host.shell(containers.running, workload=workload, timeout=60))


def test_bare_host_gets_network_volume_and_container(lab: Plan) -> None:
    database = lab.workload("database", NAME)
    commands = FakeHost().shell(containers.running, workload=database, timeout=60)
    assert _verbs(commands) == ["docker network", "docker volume", *REPLACED]
    assert f"--label=io.quaylab.specification={database.container.digest}" in commands[-2]


def test_a_container_that_runs_as_specified_is_left_alone(lab: Plan) -> None:
    database = lab.workload("database", NAME)
    host = _host(database.container)
    assert _run(database, host) == []
    assert host.noops == ["quaylab-database runs as specified and is healthy"]


@pytest.mark.parametrize(
    ("change", "verbs"),
    [
        ({"digest": "other"}, REPLACED),
        ({"image": "other:1"}, REPLACED),
        ({"image_was_retagged": True}, REPLACED),
        ({"networks": {"bridge": "b"}}, REPLACED),
        ({"networks": {NETWORK: "one that was removed"}}, REPLACED),
        ({"ports": frozenset()}, REPLACED),
        ({"ports": frozenset({"0.0.0.0:5432:5432"})}, REPLACED),
        ({"mounts": {}}, REPLACED),
        ({"command": ("bash",)}, REPLACED),
        ({"environment": {"PATH": "/bin", "POSTGRESQL_PASSWORD": "x"}}, REPLACED),
        ({"environment": {}}, REPLACED),
        ({"state": "exited"}, ["docker start", "wait"]),
        ({"state": "created"}, ["docker start", "wait"]),
        ({"state": "paused"}, ["docker unpause", "wait"]),
        ({"written": 2000.0}, ["touch", "docker restart", "wait"]),
        ({"restart_policy": "no"}, ["docker update", "wait"]),
        ({"health": "unhealthy"}, ["wait"]),
        ({"health": "starting"}, ["wait"]),
        ({"environment": {}, "image_environment": None}, []),
        ({"networks": {NETWORK: ""}, "state": "created"}, ["docker start", "wait"]),
        ({"health": None}, []),
    ],
    ids=str,
)
def test_drift_is_repaired(lab: Plan, change: dict[str, Any], verbs: list[str]) -> None:
    database = lab.workload("database", NAME)
    assert _run(database, _host(database.container, **change)) == verbs


@pytest.mark.parametrize(
    "attached", [{}, {NETWORK: "n1"}], ids=["not attached", "attached to the removed one"]
)
def test_a_removed_network_is_created_again(lab: Plan, attached: dict[str, str]) -> None:
    redis = lab.workload("redis", NAME)
    found = engine(redis.container, networks=attached, state="exited")
    host = FakeHost({Engine: dataclasses.replace(found, networks={})})
    assert _run(redis, host) == ["docker network", *REPLACED]


def test_an_internal_network_is_refused(lab: Plan) -> None:
    """As one that was recreated by hand: published ports would not be reachable."""
    redis = lab.workload("redis", NAME)
    found = dataclasses.replace(engine(redis.container), network_is_internal=True)
    host = FakeHost({Engine: found})
    (refusal,) = host.shell(containers.running, workload=redis, timeout=60)
    assert "network quaylab" in refusal
    assert "docker network rm quaylab" in refusal


def test_the_health_check_is_run_if_the_engine_has_not_run_it_yet(lab: Plan) -> None:
    database = lab.workload("database", NAME)
    host = _host(database.container, database.container.health, health="starting")
    assert _run(database, host) == []


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_a_service_that_refuses_its_password_is_replaced(store: Store, engine: str) -> None:
    lab = plan.make([host(NAME, database_engine=engine)], {NAME: machine()}, store)
    for service in ("database", "redis"):
        workload = lab.workload(service, NAME)
        assert workload.password_refused
        assert _run(workload, _host(workload.container, workload.password_refused)) == REPLACED


def test_a_variable_that_the_image_has_too(lab: Plan) -> None:
    wanted = lab.workload("quay", NAME).container
    workload = dataclasses.replace(lab.workload("redis", NAME), container=wanted)
    defaults = {"PATH": "/bin", "WORKER_COUNT": "1"}
    for image in (defaults, defaults | dict(wanted.environment)):
        found = {**defaults, **dict(wanted.environment)}
        assert _run(workload, _host(wanted, environment=found, image_environment=image)) == []


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        ({"digest": "other"}, ["quaylab-quay will be replaced: "]),
        ({"written": 2000.0}, ["quaylab-quay will be restarted: "]),
        ({"digest": "other", "state": "exited"}, []),
        ({"restart_policy": "no"}, []),
        ({}, []),
    ],
    ids=str,
)
def test_an_interruption_of_quay_is_announced(
    lab: Plan, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], messages: list[str]
) -> None:
    found = engine(lab.workload("quay", NAME).container, **change)
    announced = _announcements(lab, monkeypatch, found)
    assert [line[: len(messages[0])] for line in announced] == messages


def test_a_first_start_announces_no_interruption(
    lab: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _announcements(lab, monkeypatch, EngineState({}, {}, (), {})) == []


def _announcements(lab: Plan, monkeypatch: pytest.MonkeyPatch, found: EngineState) -> list[str]:
    host = FakeHost()
    monkeypatch.setattr(containers, "inventory", SimpleNamespace(get_host={NAME: host}.get))
    reported = dataclasses.replace(machine(), state=found)
    containers.announce_interruptions(dataclasses.replace(lab, machines={NAME: reported}))
    return host.messages


@pytest.mark.parametrize(
    ("change", "verbs"),
    [
        ({"digest": "other"}, ["stop all", *REPLACED, "close"]),
        ({"written": 2000.0}, ["stop all", "touch", "docker restart", "wait", "close"]),
        ({"digest": "other", "state": "exited"}, [*REPLACED, "close"]),
        ({"digest": ""}, [*REPLACED, "close"]),
        ({"restart_policy": "no"}, ["docker update", "wait"]),
        ({"health": "starting"}, ["wait", "close"]),
    ],
    ids=str,
)
def test_what_is_run_in_quays_container(
    lab: Plan, change: dict[str, Any], verbs: list[str]
) -> None:
    """Before a stop, as on SIGTERM supervisord stops its programs one by one; and once it is
    healthy, so that each worker opens its own connection to Redis."""
    quay = dataclasses.replace(lab.workload("quay", NAME), volume=None)
    commands = _host(quay.container, **change).shell(containers.running, workload=quay, timeout=60)
    inside = {"supervisorctl": "stop all", "python3 -c": "close"}
    attempts = "timeout 90 docker exec quaylab-quay sh -c "
    assert [
        next(verb for part, verb in inside.items() if part in command)
        if command.startswith(attempts)
        else _verbs([command])[0]
        for command in commands
    ] == verbs
    assert all(each.endswith("|| :") for each in commands if each.startswith(attempts))


def test_proxies_of_roots_docker_configuration_are_not_used(lab: Plan) -> None:
    redis = lab.workload("redis", NAME)
    *_, run, _ = FakeHost().shell(containers.running, workload=redis, timeout=60)
    assert run.startswith("DOCKER_CONFIG=/nonexistent docker run ")


def test_absent(lab: Plan) -> None:
    wanted = lab.workload("redis", NAME).container
    (command,) = _host(wanted).shell(containers.absent, container=wanted.name)
    stop, remove = command.split(" && ")
    assert stop.startswith(f"docker stop {wanted.name} ")
    assert remove.startswith(f"docker rm --force --volumes {wanted.name} ")
    bare = FakeHost()
    assert bare.shell(containers.absent, container=wanted.name) == []
    assert bare.noops == [f"{wanted.name} is not there"]


def test_a_data_directory_becomes_the_volume(lab: Plan) -> None:
    database = lab.workload("database", NAME)
    assert database.volume
    volume = dataclasses.replace(database.volume, path="/srv/db")
    workload = dataclasses.replace(database, volume=volume)
    commands = FakeHost().shell(containers.running, workload=workload, timeout=60)
    assert any("/srv/db/quaylab-database holds data" in command for command in commands)
    (create,) = [command for command in commands if command.startswith("docker volume create")]
    assert "--opt=device=/srv/db/quaylab-database" in create


@pytest.mark.parametrize("is_there", [False, True])
def test_a_data_directory_that_a_run_makes_is_roots_alone(
    lab: Plan, shell: Shell, tmp_path: Path, is_there: bool
) -> None:
    """A user of the host may have the container's uid. The mode of an existing one stays."""
    directory = tmp_path / "disks" / "db"
    if is_there:
        directory.mkdir(parents=True)
        directory.chmod(0o755)
    database = lab.workload("database", NAME)
    assert database.volume
    volume = dataclasses.replace(database.volume, path=str(directory), uid=os.getuid())
    workload = dataclasses.replace(database, volume=volume)
    commands = FakeHost().shell(containers.running, workload=workload, timeout=60)
    (make,) = [command for command in commands if "holds data" in command]
    assert shell.run(make).returncode == 0
    assert directory.stat().st_mode & 0o777 == (0o755 if is_there else 0o700)
    assert (directory / "quaylab-database").stat().st_mode & 0o777 == 0o700


# --- waiting, by a real shell ---


def test_waiting_ends_with_health(lab: Plan, shell: Shell) -> None:
    shell.stub("docker", "case $1 in inspect) echo 0 ;; esac")
    done = shell.run(DOCKER.wait_until_healthy(lab.workload("redis", NAME).container, 60))
    assert (done.returncode, done.stderr) == (0, "")


def test_waiting_ends_with_the_containers_last_log_lines(lab: Plan, shell: Shell) -> None:
    shell.stub(
        "docker", "case $1 in inspect) echo 0 ;; logs) echo 'out of memory' ;; *) exit 1; esac"
    )
    done = shell.run(DOCKER.wait_until_healthy(lab.workload("redis", NAME).container, 0))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "quaylab-redis does not become healthy (health_timeout: 0 s); it said:",
        "out of memory",
    ]


# The log of v3.18.0 with a value in SSL_PROTOCOLS that nginx doesn't know.
UNWELL = """\
   | Redis | Could not connect to Redis with values provided in BUILDLOGS_REDIS | x |
gunicorn-web stdout | 2026-11-25 00:54:15,871 [74] [INFO] [gunicorn.error] Listening at: unix
nginx stderr | 2026/11/25 00:54:17 [emerg] 216#216: invalid value "TLSv9" in nginx.conf:21
gunicorn-web stdout | KeyError: 'HOME'
2026-11-25 00:55:10,843 WARN exited: nginx (exit status 1; not expected)
"""


def test_waiting_shows_the_errors_of_each_program(lab: Plan, shell: Shell) -> None:
    """supervisord restarts nginx again and again, so its error is far above the last lines."""
    (shell.stubs / "log").write_text(
        UNWELL + "2026-11-25 00:55:11,277 INFO spawned: 'nginx' with pid 318\n" * 2500
    )
    shell.stub(
        "docker", f"case $1 in inspect) echo 0 ;; logs) cat {shell.stubs}/log ;; *) exit 1; esac"
    )
    done = shell.run(DOCKER.wait_until_healthy(lab.workload("quay", NAME).container, 0))
    lines = done.stderr.splitlines()
    assert [line.split("|")[0].strip() or line for line in lines[1:4]] == [
        UNWELL.splitlines()[0],
        "nginx stderr",
        "gunicorn-web stdout",
    ]
    assert "[emerg]" in lines[2]
    assert "KeyError" in lines[3]
    assert lines[4] == "its last lines:"
    assert len(lines) == 15


@pytest.mark.parametrize("engine", [DOCKER, PODMAN], ids=str)
@pytest.mark.parametrize("after_boot", [False, True])
def test_waiting_ends_early_for_a_container_that_keeps_exiting(
    lab: Plan, shell: Shell, engine: ContainerEngine, after_boot: bool
) -> None:
    """After a boot it is waited for: its disk may come late."""
    count, tries = shell.stubs / "count", shell.stubs / "tries"
    count.write_text("0")
    more = f"n=$(cat {count}); echo $n; echo $((n + 5)) >{count}"
    check = f"echo >>{tries}; test $(wc -l <{tries}) -ge 5"
    shell.stub("docker", f"case $1 in inspect) {more} ;; logs) ;; *) {check} ;; esac")
    shell.stub("podman", check)
    shell.stub("systemctl", more)
    shell.stub("journalctl", "")
    redis = lab.workload("redis", NAME).container
    done = shell.run(engine.wait_until_healthy(redis, 600, after_boot))
    assert (done.returncode == 0) is after_boot
