"""Podman on a host: it is installed, checked, reachable, and behind its proxy."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from facts.files import Paths
from facts.machine import EngineInfo
from facts.podman import Podman, PodmanState
from operations.engines import podman
from quaylab.engines.state import Engine
from tests.unit.fake_host import FakeHost, stdin
from tests.unit.samples import machine, settings
from tests.unit.shell import Shell

ABLE = Engine("5.4.2", "/var/lib/containers/storage", None)
PROXY = "http://proxy.example.com:3128"


def test_an_installed_podman_is_not_installed_again() -> None:
    host = FakeHost({Podman: PodmanState(True)})
    assert host.shell(podman.installed, machine=machine()) == []
    assert host.noops == ["podman is there"]


def test_an_able_podman_needs_nothing() -> None:
    host = FakeHost({EngineInfo: ABLE, Podman: PodmanState(True)})
    assert host.shell(podman.ready) == []
    assert host.noops == ["containers can run, and are reached"]


def test_a_podman_that_is_not_there_yet_is_looked_at_later() -> None:
    host = FakeHost()
    host.executing = False
    assert host.shell(podman.ready) == []
    assert host.noops == ["looked at when the run has installed it"]
    host.executing = True
    (refusal,) = host.shell(podman.ready)
    assert "its `podman` is not there" in refusal
    assert "exit 1" in refusal


def test_rules_that_are_gone_from_the_firewall_are_made_again() -> None:
    host = FakeHost({EngineInfo: ABLE, Podman: PodmanState(True, flushed=True)})
    assert host.shell(podman.ready) == [
        "podman network reload $(podman ps --quiet --filter network=quaylab "
        "--filter label=io.quaylab.specification) >/dev/null"
    ]


def test_what_docker_drops_is_let_through_now_and_after_the_next_boot() -> None:
    host = FakeHost({EngineInfo: ABLE, Podman: PodmanState(True, blocked=True)})
    lasting, now = host.shell(podman.ready)
    assert podman.FORWARDING.path in lasting
    assert now == "iptables --wait --policy FORWARD ACCEPT"


def test_what_repairs_them_after_firewalls_reload_is_enabled() -> None:
    host = FakeHost({EngineInfo: ABLE, Podman: PodmanState(True, not_reloaded=True)})
    (command,) = host.shell(podman.ready)
    assert command == "systemctl enable --quiet --now netavark-firewalld-reload.service"


def test_the_proxy_is_in_a_file_for_podman() -> None:
    wanted = settings(https_proxy=PROXY, no_proxy="localhost")
    (command,) = FakeHost().operate(podman.proxy_set, settings=wanted)
    assert podman.PROXY_FILE in str(command)
    content = base64.b64decode(stdin(command)).decode()
    entries = f'"HTTPS_PROXY={PROXY}", "NO_PROXY=localhost", {{append=true}}'
    assert content == f"[engine]\nenv = [{entries}]\n"


def test_only_our_own_proxy_is_removed() -> None:
    ours = FakeHost({Paths: [podman.PROXY_FILE]})
    assert ours.shell(podman.proxy_set, settings=settings()) == [f"rm -f {podman.PROXY_FILE}"]
    nothing = FakeHost({Paths: []})
    assert nothing.shell(podman.proxy_set, settings=settings()) == []


RUNNING = "test $1 != ps || echo c0ffee"


@pytest.mark.parametrize(
    ("stubs", "flushed"),
    [
        ({"nft": "echo 'table inet netavark'", "iptables": ":"}, False),
        ({"nft": ":", "iptables": "echo '-N NETAVARK-HOSTPORT-DNAT'"}, False),
        ({"nft": ":", "iptables": "echo '-N CNI-HOSTPORT-DNAT'"}, False),
        ({"nft": ":", "iptables": ":"}, True),
        ({"nft": ":", "iptables": ":", "podman": ":"}, False),
    ],
    ids=["nftables", "iptables", "RHEL 8", "flushed", "nothing runs"],
)
def test_rules_of_the_firewall(shell: Shell, stubs: dict[str, str], flushed: bool) -> None:
    doubles = {"podman": RUNNING, "systemctl": "exit 1", "dpkg-query": ":"}
    doubles |= dict.fromkeys(("iptables-nft", "iptables-legacy"), "exit 1") | stubs
    for name, script in doubles.items():
        shell.stub(name, script)
    found = Podman().process(shell.lines(Podman().command()))
    assert found == PodmanState(True, flushed=flushed)


@pytest.mark.parametrize(
    ("files", "flushed"),
    [
        ([], True),
        (['#firewall_driver = "none"'], True),
        (['[network]\nfirewall_driver = "iptables"'], True),
        (['[network]\nfirewall_driver="firewalld"'], False),
        (["[network]\n  firewall_driver = 'none' # our own rules"], False),
        (['firewall_driver = "none"', 'firewall_driver = "nftables"'], True),
    ],
    ids=["default", "comment", "iptables", "firewalld", "none", "the last one counts"],
)
def test_rules_that_another_firewall_driver_makes_are_not_missed(
    shell: Shell, tmp_path: Path, files: list[str], flushed: bool
) -> None:
    doubles = {"podman": RUNNING, "systemctl": "exit 1", "nft": ":"}
    doubles |= dict.fromkeys(("dpkg-query", "iptables", "iptables-nft", "iptables-legacy"), ":")
    for name, script in doubles.items():
        shell.stub(name, script)
    folder = tmp_path / "containers"
    (folder / "containers.conf.d").mkdir(parents=True)
    paths = (folder / "containers.conf", folder / "containers.conf.d" / "10.conf")
    for path, content in zip(paths, files, strict=False):
        path.write_text(content + "\n")
    command = Podman().command()
    for place in ("/usr/share/containers", "/etc/containers"):
        command = command.replace(place, str(folder))
    assert Podman().process(shell.lines(command)).flushed is flushed


DROPS = "-P FORWARD DROP\n-N DOCKER-USER"


@pytest.mark.parametrize(
    ("rules", "blocked"),
    [
        (DROPS, True),
        ("-P FORWARD ACCEPT\n-N DOCKER-USER", False),
        # An administrator's own policy.
        ("-P FORWARD DROP", False),
        # Podman's rules are beside Docker's.
        (f"{DROPS}\n-A FORWARD -j NETAVARK_FORWARD", False),
    ],
)
def test_docker_drops_what_others_forward(shell: Shell, rules: str, blocked: bool) -> None:
    for name in ("podman", "systemctl", "dpkg-query", "nft"):
        shell.stub(name, ":")
    shell.stub("iptables", f"echo '{rules}'")
    assert Podman().process(shell.lines(Podman().command())).blocked is blocked


def test_a_half_installed_podman_is_installed_again(shell: Shell) -> None:
    shell.stub("podman", ":")
    shell.stub("systemctl", "exit 1")
    shell.stub("dpkg-query", "echo installed; echo half-configured")
    assert not Podman().process(shell.lines(Podman().command())).installed


@pytest.mark.parametrize(
    ("stubs", "installed"),
    [
        ({}, False),
        ({"semanage": ":"}, True),
        ({"selinuxenabled": "exit 1"}, True),
        ({"dnf": None}, True),
    ],
    ids=["no semanage", "complete", "SELinux disabled", "no dnf"],
)
def test_on_rhel_podman_comes_with_what_labels_directories(
    shell: Shell, stubs: dict[str, str | None], installed: bool
) -> None:
    doubles = {"podman": ":", "systemctl": "exit 1", "dnf": ":", "selinuxenabled": ":"}
    for name, script in (doubles | stubs).items():
        if script is not None:
            shell.stub(name, script)
    found = Podman().process(shell.lines(Podman().command()))
    assert found.installed == installed
