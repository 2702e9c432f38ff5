"""The engine's daemon."""

from __future__ import annotations

import pytest

from facts.docker import Daemon, DaemonState
from tests.unit.shell import Shell

FOUND = ["/usr/sbin/dockerd", "/usr/bin/docker", "installed"]


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([""], DaemonState(False, False)),
        (FOUND, DaemonState(True, False)),
        ([*FOUND, "enabled"], DaemonState(True, True)),
        ([*FOUND, "enabled", "flushed"], DaemonState(True, True, True)),
    ],
    ids=["none", "by hand", "at boot", "rules flushed"],
)
def test_state(lines: list[str], state: DaemonState) -> None:
    assert Daemon().process(lines) == state


def test_command_of_a_running_daemon(shell: Shell) -> None:
    for name in ("dockerd", "docker", "systemctl"):
        shell.stub(name, "exit 0")
    for tool in ("iptables", "iptables-nft", "iptables-legacy"):
        shell.stub(tool, "exit 1")
    assert Daemon().process(shell.lines(Daemon().command())) == DaemonState(True, True)


# As iptables lists them with Docker 26.
NAT = "-P PREROUTING ACCEPT\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"
FILTER = "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1"


@pytest.mark.parametrize(
    ("nat", "filter_", "legacy", "network", "backend", "flushed"),
    [
        (NAT, FILTER, "exit 1", "exit 0", "", False),
        (NAT.splitlines()[0], FILTER, "exit 1", "exit 0", "", True),
        (NAT, FILTER.splitlines()[0], "exit 1", "exit 0", "", True),
        (None, None, "exit 1", "exit 0", "", False),
        (NAT.splitlines()[0], FILTER.splitlines()[0], f"echo '{NAT}\n{FILTER}'", ":", "", False),
        (NAT.splitlines()[0], FILTER.splitlines()[0], "exit 1", "exit 1", "", False),
        (NAT.splitlines()[0], FILTER.splitlines()[0], "exit 1", "exit 0", "nftables", False),
    ],
    ids=[
        "complete",
        "nat flushed",
        "filter flushed",
        "no iptables",
        "with the other tool",
        "no network of ours",
        "with nftables",
    ],
)
def test_rules_in_iptables(
    shell: Shell,
    nat: str | None,
    filter_: str | None,
    legacy: str,
    network: str,
    backend: str,
    flushed: bool,
) -> None:
    shell.stub("dockerd", ":")
    shell.stub("systemctl", "exit 0")
    shell.stub("pidof", "exit 1")
    shell.stub(
        "docker",
        f"case $1 in network) {network} ;;\ninfo) echo ' Firewall Backend: {backend}' ;; esac",
    )
    rules = f"case $* in *nat*) printf '%s\n' '{nat}' ;; *) printf '%s\n' '{filter_}' ;; esac"
    shell.stub("iptables", rules if nat else "exit 1")
    shell.stub("iptables-nft", "exit 1")
    shell.stub("iptables-legacy", legacy)
    assert Daemon().process(shell.lines(Daemon().command())).flushed is flushed


def test_command_of_a_stopped_daemon(shell: Shell) -> None:
    shell.stub("dockerd", ":")
    shell.stub("systemctl", "exit 1")
    shell.stub("docker", "exit 1")
    assert Daemon().process(shell.lines(Daemon().command())) == DaemonState(True, False)


@pytest.mark.parametrize(
    ("status", "installed"), [("installed", True), ("unpacked", False), ("half-configured", False)]
)
def test_an_interrupted_installation_is_not_installed(
    shell: Shell, status: str, installed: bool
) -> None:
    for name in ("dockerd", "docker", "systemctl"):
        shell.stub(name, "exit 0")
    shell.stub("dpkg-query", f"echo {status}")
    assert Daemon().process(shell.lines(Daemon().command())).installed is installed
