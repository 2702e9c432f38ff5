"""The engine: it is installed as on each system, started, and behind its proxy."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from facts.docker import Daemon, DaemonState
from facts.files import Paths
from facts.machine import EngineInfo
from facts.machine import Machine as MachineFact
from operations.engines import docker, existing_data
from quaylab.engines.state import Engine
from quaylab.engines.state import FoundVolume as Volume
from quaylab.hosts.machine import Machine
from quaylab.model import CREDENTIALS_LABEL
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import machine, settings
from tests.unit.shell import Shell

PROXY = "http://proxy.example.com:3128"
NO_PROXIES = ("", "", "")
RHEL = machine(os_id="rhel", os_version="9.4", os_like=("fedora",))


def _daemon(
    answers: bool = True,
    enabled: bool = True,
    proxies: tuple[str, str, str] = NO_PROXIES,
    left: list[str] | None = None,
    flushed: bool = False,
    live_restore: bool = False,
) -> FakeHost:
    """Return a host with an engine, and with the files ``left`` of a proxy."""
    daemon = DaemonState(True, enabled, flushed)
    engine = Engine("26.1.5" if answers else None, None, None, proxies, live_restore)
    return FakeHost({Daemon: daemon, EngineInfo: engine, Paths: left or []})


def _running(host: FakeHost, found: Machine, **changes: Any) -> list[str]:
    return host.shell(docker.running, machine=found, settings=settings(**changes))


def test_debian_gets_its_own_engine_with_apparmor() -> None:
    """Docker only recommends it, and without it no profile confines the containers."""
    (command,) = FakeHost().shell(docker.installed, machine=machine(), settings=settings())
    assert " docker.io apparmor ca-certificates " in command
    assert "|| echo docker-cli)" in command


def test_an_installed_engine_is_not_installed_again() -> None:
    host = _daemon(answers=False)
    assert host.shell(docker.installed, machine=RHEL, settings=settings()) == []
    assert host.noops == ["dockerd is there"]


def test_foreign_data_that_only_a_started_engine_shows_stops_the_run(lab: Plan) -> None:
    foreign = Volume("quaylab-database", {CREDENTIALS_LABEL: "another"})
    host = FakeHost({MachineFact: machine(volumes=(foreign,))})
    (command,) = host.shell(existing_data.as_expected, plan=lab)
    assert "belongs to the credentials another" in command
    assert "exit 1" in command
    fitting = FakeHost({MachineFact: machine()})
    assert fitting.shell(existing_data.as_expected, plan=lab) == []
    assert fitting.noops == ["the host's data belongs to this registry"]


def test_an_engine_that_comes_up_without_the_data_stops_the_run(lab: Plan) -> None:
    down = machine(schema="v3.18.0", engine=Engine(None, None, None))
    lab = dataclasses.replace(lab, machines={"quay.example.com": down})
    up = machine(schema="v3.18.0", engine=Engine("26.1.5", "/var/lib/docker", None))
    (command,) = FakeHost({MachineFact: up}).shell(existing_data.as_expected, plan=lab)
    assert "volume quaylab-database is not on quay.example.com" in command
    assert "exit 1" in command


@pytest.mark.parametrize(
    ("os_id", "family"),
    [("rhel", "rhel"), ("fedora", "fedora"), ("rocky", "centos"), ("almalinux", "centos")],
)
def test_docker_ces_repository(os_id: str, family: str) -> None:
    found = machine(os_id=os_id, os_version="9.4", os_like=("rhel",))
    mirror = "https://mirror.example.com/docker"
    wanted = settings(docker_ce_repository=mirror)
    write, install = FakeHost().operate(docker.installed, machine=found, settings=wanted)
    lines = stdin(write).splitlines()
    assert lines[0] == "[docker-ce-stable]"
    assert f"baseurl={mirror}/{family}/$releasever/$basearch/stable" in lines
    assert f"gpgkey={mirror}/{family}/gpg" in lines
    assert "gpgcheck=1" in lines
    assert text(install).startswith("dnf install")


def test_an_engine_that_answers_is_left_alone() -> None:
    host = _daemon()
    assert _running(host, machine()) == []
    assert host.noops == ["the engine answers"]


@pytest.mark.parametrize(
    ("answers", "enabled"), [(False, True), (True, False)], ids=["stopped", "not enabled"]
)
def test_systemd_starts_it_now_and_at_boot(answers: bool, enabled: bool) -> None:
    enable, start = _running(_daemon(answers, enabled), machine())
    assert enable == "systemctl daemon-reload && systemctl enable --quiet docker"
    # A unit that has just failed several times is not started before that.
    reset = "systemctl reset-failed docker 2>/dev/null; "
    assert start.startswith(f"{reset}systemctl start docker || ")


def test_an_engine_that_does_not_start_is_reported_with_its_log(shell: Shell) -> None:
    shell.stub("systemctl", "exit 1")
    shell.stub("journalctl", "echo 'failed to start daemon: no such directive'")
    _, start = _running(_daemon(answers=False), machine())
    done = shell.run(start)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "failed to start daemon: no such directive",
        "quay.example.com: the engine does not start; its last messages are above",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["{"], "is not valid JSON"), (["[]"], "holds no JSON object")],
    ids=["no JSON", "no object"],
)
@pytest.mark.parametrize("answers", [False, True], ids=["stopped", "running"])
def test_an_unreadable_daemon_json_is_reported_before_a_start(
    shell: Shell, answers: bool, lines: list[str], message: str
) -> None:
    host = _daemon(answers)
    host.shell_output = (True, lines)
    (command,) = _running(host, machine(), https_proxy=PROXY)
    done = shell.run(command)
    assert done.returncode == 1
    assert done.stderr.startswith(f"/etc/docker/daemon.json of quay.example.com {message}")


def test_flushed_rules_are_restored_only_where_containers_keep_running(shell: Shell) -> None:
    *_, restart = _running(_daemon(flushed=True, live_restore=True), machine())
    assert "systemctl restart docker || " in restart
    for found, live_restore in ((machine(), False), (machine(systemd=False), True)):
        (refuse,) = _running(_daemon(flushed=True, live_restore=live_restore), found)
        done = shell.run(refuse)
        assert done.returncode == 1
        assert "the engine's rules are gone from iptables" in done.stderr
        assert "systemctl restart docker" in done.stderr


@pytest.mark.parametrize("left", [docker.PROXY_FILE, docker.UNUSED_PROXY_FILE])
def test_a_proxy_that_is_no_longer_set_is_removed(left: str) -> None:
    """If a run is killed in between, the next one completes it."""
    commands = _running(_daemon(proxies=("", PROXY, ""), left=[left]), machine())
    assert commands[0].endswith(f"mv -f {docker.PROXY_FILE} {docker.UNUSED_PROXY_FILE}")
    assert "systemctl restart docker || " in commands[-2]
    assert commands[-1] == f"rm -f {docker.UNUSED_PROXY_FILE}"


def test_an_engine_without_the_proxy_is_not_restarted_for_a_leftover_file() -> None:
    commands = _running(_daemon(left=[docker.PROXY_FILE]), machine())
    assert "systemctl start docker || " in commands[-2]
    move, remove = _running(_daemon(left=[docker.PROXY_FILE]), machine(systemd=False))
    assert "mv -f" in move
    assert remove.startswith("rm -f")


def test_without_systemd_nothing_is_enabled() -> None:
    assert _running(_daemon(enabled=False), machine(systemd=False)) == []


@pytest.mark.parametrize(
    ("proxies", "changes", "action"),
    [
        (NO_PROXIES, {"https_proxy": PROXY}, "restart"),
        (("", "http://old:1", ""), {"https_proxy": PROXY}, "restart"),
        (("", PROXY, ""), {"https_proxy": PROXY}, None),
        (("", PROXY, ""), {}, None),
    ],
    ids=["none", "another", "the same", "an administrator's"],
)
def test_a_new_proxy_restarts_the_engine(
    proxies: tuple[str, str, str], changes: dict[str, str], action: str | None
) -> None:
    commands = _running(_daemon(proxies=proxies), machine(), **changes)
    done = [each for each in ("start", "restart") if f"systemctl {each} docker" in str(commands)]
    assert done == ([action] if action else [])


def test_without_systemd_a_new_proxy_is_refused(shell: Shell) -> None:
    (command,) = _running(_daemon(), machine(systemd=False), https_proxy=PROXY)
    done = shell.run(command)
    assert done.returncode == 1
    assert done.stderr.startswith("https_proxy: dockerd on this host runs with another proxy")


def test_dockerd_gets_its_proxy_without_systemd(shell: Shell) -> None:
    shell.stub("setsid", 'printf "%s\\n" "$HTTPS_PROXY" "$NO_PROXY" >"$(dirname "$0")/proxies"')
    shell.stub("docker", 'test -s "$(dirname "$0")/proxies"')
    shell.stub("sleep", "command -p sleep 0.05")
    shell.stub("rm", ":")
    (command,) = _running(
        _daemon(answers=False),
        machine(systemd=False),
        https_proxy=PROXY,
        no_proxy="localhost, *.example.com",
    )
    log = shell.stubs / "dockerd.log"
    done = shell.run(command.replace(docker.LOG, str(log)))
    assert done.returncode == 0, done.stderr
    assert (shell.stubs / "proxies").read_text() == f"{PROXY}\nlocalhost, *.example.com\n"


def test_a_dockerd_that_does_not_start_is_reported(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker, "START_TIMEOUT", 1)
    shell.stub("setsid", "echo 'no space left'")
    shell.stub("docker", "exit 1")
    shell.stub("sleep", ":")
    shell.stub("rm", ":")
    (command,) = _running(_daemon(answers=False), machine(systemd=False))
    done = shell.run(command.replace(docker.LOG, str(shell.stubs / "dockerd.log")))
    assert done.returncode == 1


def test_proxy_file() -> None:
    wanted = settings(http_proxy=PROXY, https_proxy=f"{PROXY}/", no_proxy="localhost")
    file = docker.proxy_file(wanted)
    assert file
    assert file.path == "/etc/systemd/system/docker.service.d/quaylab-proxy.conf"
    assert file.content.splitlines() == [
        "[Service]",
        f'Environment="HTTP_PROXY={PROXY}"',
        f'Environment="HTTPS_PROXY={PROXY}/"',
        'Environment="NO_PROXY=localhost"',
    ]


def test_without_a_proxy_there_is_no_file() -> None:
    assert docker.proxy_file(settings()) is None
