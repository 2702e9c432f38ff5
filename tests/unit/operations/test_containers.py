"""Containers: what runs is compared with what has to run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pyinfra.api.facts import FactBase

from facts.containers import Engine, Succeeds
from operations import containers
from quaylab.containers import NETWORK, Container
from quaylab.parts import Part
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost
from tests.unit.shell import Shell
from tests.unit.states import engine

VERBS = {"restarts()": "wait", "touch": "touch"}
REPLACED = ["docker stop", "docker rm", "docker run", "wait"]


class Asked(FakeHost):
    """A host in whose containers the ``successful`` commands succeed."""

    successful: tuple[str, ...] = ()

    def get_fact(self, fact: type[FactBase[Any]], **arguments: Any) -> Any:
        if fact is Succeeds:
            return arguments["command"] in self.successful
        return super().get_fact(fact, **arguments)


def _host(wanted: Container, *successful: str, **changes: Any) -> FakeHost:
    """A host that runs a container which differs in some respect."""
    found = Asked({Engine: engine(wanted, ("quaylab-database",), **changes)})
    found.successful = successful
    return found


def _verbs(commands: list[str]) -> list[str]:
    """The first words of each: `docker run`; waiting is `wait`."""
    return [
        VERBS.get(command.split()[0]) or " ".join(command.split()[:2])
        for command in (each.replace(containers.RUN, "docker run") for each in commands)
    ]


def _run(part: Part, host: FakeHost) -> list[str]:
    return _verbs(host.shell(containers.running, part=part, timeout=60))


def test_bare_host_gets_network_volume_and_container(lab: Plan) -> None:
    commands = FakeHost().shell(containers.running, part=lab.database, timeout=60)
    assert _verbs(commands) == ["docker network", "docker volume", *REPLACED]
    assert f"--label=io.quaylab.specification={lab.database.container.digest}" in commands[-2]


def test_running_as_specified_is_nothing_to_do(lab: Plan) -> None:
    host = _host(lab.database.container)
    assert _run(lab.database, host) == []
    assert host.noops == ["quaylab-database runs as specified and is healthy"]


@pytest.mark.parametrize(
    ("change", "verbs"),
    [
        ({"digest": "other"}, REPLACED),
        ({"image": "other:1"}, REPLACED),
        ({"outdated": True}, REPLACED),
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
def test_drift_is_put_right(lab: Plan, change: dict[str, Any], verbs: list[str]) -> None:
    assert _run(lab.database, _host(lab.database.container, **change)) == verbs


@pytest.mark.parametrize("attached", [{}, {NETWORK: "n1"}], ids=["off it", "on the one before"])
def test_a_network_that_is_gone(lab: Plan, attached: dict[str, str]) -> None:
    found = engine(lab.redis.container, networks=attached, state="exited")
    host = FakeHost({Engine: dataclasses.replace(found, networks={})})
    assert _run(lab.redis, host) == ["docker network", *REPLACED]


def test_a_network_without_a_way_out_is_told(lab: Plan) -> None:
    """As one that was made anew by hand: what is published leads nowhere."""
    found = engine(lab.redis.container)
    host = FakeHost({Engine: dataclasses.replace(found, network_is_internal=True)})
    (refusal,) = host.shell(containers.running, part=lab.redis, timeout=60)
    assert "network quaylab" in refusal
    assert "docker network rm quaylab" in refusal


def test_its_own_check_decides_while_the_engine_has_not_asked_yet(lab: Plan) -> None:
    wanted = lab.database.container
    assert _run(lab.database, _host(wanted, wanted.health, health="starting")) == []


def test_a_service_that_refuses_its_own_password_is_made_anew(lab: Plan) -> None:
    for part in (lab.database, lab.redis):
        assert part.password_refused
        assert _run(part, _host(part.container, part.password_refused)) == REPLACED


def test_a_variable_that_the_image_has_already(lab: Plan) -> None:
    wanted = dataclasses.replace(lab.quay["quay.example.com"].container)
    part = dataclasses.replace(lab.redis, container=wanted)
    own = {"PATH": "/bin", "WORKER_COUNT": "1"}
    for image in (own, own | dict(wanted.environment)):
        found = {**own, **dict(wanted.environment)}
        assert _run(part, _host(wanted, environment=found, image_environment=image)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"digest": "other"}, ["quaylab-quay will be replaced: "]),
        ({"written": 2000.0}, ["quaylab-quay will be restarted: "]),
        ({"digest": "other", "state": "exited"}, []),
        ({"restart_policy": "no"}, []),
        ({}, []),
    ],
    ids=str,
)
def test_what_clients_will_meet_is_told_while_the_run_is_planned(
    lab: Plan, change: dict[str, Any], told: list[str]
) -> None:
    quay = lab.quay[lab.topology.leader]
    host = _host(quay.container, **change)
    host.executing = False
    _run(quay, host)
    assert [line[: len(told[0])] for line in host.told] == told
    host.executing, host.told = True, []
    _run(quay, host)
    assert host.told == []


@pytest.mark.parametrize(
    ("change", "verbs"),
    [
        ({"digest": "other"}, ["timeout 90", *REPLACED]),
        ({"written": 2000.0}, ["timeout 90", "touch", "docker restart", "wait"]),
        ({"digest": "other", "state": "exited"}, REPLACED),
        ({"digest": ""}, REPLACED),
        ({"restart_policy": "no"}, ["docker update", "wait"]),
    ],
    ids=str,
)
def test_quays_services_are_stopped_all_at_once(
    lab: Plan, change: dict[str, Any], verbs: list[str]
) -> None:
    """supervisord, told to end, stops them one by one."""
    quay = lab.quay[lab.topology.leader]
    quay = dataclasses.replace(quay, volume=None)
    commands = _host(quay.container, **change).shell(containers.running, part=quay, timeout=60)
    assert _verbs(commands) == verbs
    if verbs[0] == "timeout 90":
        assert commands[0].startswith("timeout 90 docker exec quaylab-quay sh -c ")
        assert "supervisorctl" in commands[0]


def test_a_first_start_interrupts_nobody(lab: Plan) -> None:
    host = FakeHost()
    host.executing = False
    _run(lab.quay[lab.topology.leader], host)
    assert host.told == []


def test_the_engines_client_is_not_asked_for_roots_proxies(lab: Plan) -> None:
    *_, run, _ = FakeHost().shell(containers.running, part=lab.redis, timeout=60)
    assert run.startswith("DOCKER_CONFIG=/nonexistent docker run ")


def test_absent(lab: Plan) -> None:
    wanted = lab.redis.container
    there = _host(wanted)
    assert _verbs(there.shell(containers.absent, container=wanted.name)) == [
        "docker stop",
        "docker rm",
    ]
    bare = FakeHost()
    assert bare.shell(containers.absent, container=wanted.name) == []
    assert bare.noops == [f"{wanted.name} is not there"]


def test_a_directory_of_data_becomes_the_volume(lab: Plan) -> None:
    assert lab.database.volume
    volume = dataclasses.replace(lab.database.volume, path="/srv/db")
    part = dataclasses.replace(lab.database, volume=volume)
    commands = FakeHost().shell(containers.running, part=part, timeout=60)
    assert any("/srv/db/quaylab-database holds data" in command for command in commands)
    (create,) = [command for command in commands if command.startswith("docker volume create")]
    assert "--opt=device=/srv/db/quaylab-database" in create


# --- waiting, by a real shell ---


def test_waiting_ends_with_health(lab: Plan, shell: Shell) -> None:
    shell.stub("docker", "case $1 in inspect) echo 0 ;; esac")
    done = shell.run(containers.wait_until_healthy(lab.redis.container, 60))
    assert (done.returncode, done.stderr) == (0, "")


def test_waiting_ends_with_the_containers_last_words(lab: Plan, shell: Shell) -> None:
    shell.stub(
        "docker", "case $1 in inspect) echo 0 ;; logs) echo 'out of memory' ;; *) exit 1; esac"
    )
    done = shell.run(containers.wait_until_healthy(lab.redis.container, 0))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "quaylab-redis does not become healthy (health_timeout: 0 s); it said:",
        "out of memory",
    ]


# As v3.18.0 said it with a value in SSL_PROTOCOLS that nginx doesn't know.
UNWELL = """\
   | Redis | Could not connect to Redis with values provided in BUILDLOGS_REDIS | x |
gunicorn-web stdout | 2026-11-25 00:54:15,871 [74] [INFO] [gunicorn.error] Listening at: unix
nginx stderr | 2026/11/25 00:54:17 [emerg] 216#216: invalid value "TLSv9" in nginx.conf:21
gunicorn-web stdout | KeyError: 'HOME'
2026-11-25 00:55:10,843 WARN exited: nginx (exit status 1; not expected)
"""


def test_waiting_tells_what_each_service_complains_of(lab: Plan, shell: Shell) -> None:
    """nginx is started again and again, so that its own words are far above the last ones."""
    (shell.stubs / "log").write_text(
        UNWELL + "2026-11-25 00:55:11,277 INFO spawned: 'nginx' with pid 318\n" * 2500
    )
    shell.stub(
        "docker", f"case $1 in inspect) echo 0 ;; logs) cat {shell.stubs}/log ;; *) exit 1; esac"
    )
    said = shell.run(containers.wait_until_healthy(lab.quay[lab.topology.leader].container, 0))
    lines = said.stderr.splitlines()
    assert [line.split("|")[0].strip() or line for line in lines[1:4]] == [
        UNWELL.splitlines()[0],
        "nginx stderr",
        "gunicorn-web stdout",
    ]
    assert "[emerg]" in lines[2]
    assert "KeyError" in lines[3]
    assert lines[4] == "its last lines:"
    assert len(lines) == 15


def test_waiting_ends_early_for_a_container_that_keeps_exiting(lab: Plan, shell: Shell) -> None:
    count = shell.stubs / "count"
    count.write_text("0")
    shell.stub(
        "docker",
        f"n=$(cat {count})\n"
        f"case $1 in inspect) echo $n; echo $((n + 5)) >{count} ;; logs) ;; *) exit 1 ;; esac",
    )
    assert shell.run(containers.wait_until_healthy(lab.redis.container, 600)).returncode == 1
