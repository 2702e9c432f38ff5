"""The engine's daemon."""

from __future__ import annotations

import pytest

from facts.docker import Daemon, DaemonState
from tests.unit.shell import Shell

FOUND = ["/usr/sbin/dockerd", "/usr/bin/docker", "installed"]


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([""], DaemonState(False, False, False, ("", "", ""))),
        (FOUND, DaemonState(True, False, False, ("", "", ""))),
        ([*FOUND, "enabled", "proxies|||"], DaemonState(True, True, True, ("", "", ""))),
        (
            [*FOUND, "proxies|http://proxy:1|http://proxy:2|localhost,10.0.0.0/8"],
            DaemonState(
                True, False, True, ("http://proxy:1", "http://proxy:2", "localhost,10.0.0.0/8")
            ),
        ),
    ],
    ids=["none", "stopped", "running", "behind a proxy"],
)
def test_state(lines: list[str], state: DaemonState) -> None:
    assert Daemon().process(lines) == state


def test_command_of_a_running_daemon(shell: Shell) -> None:
    shell.stub("dockerd", ":")
    shell.stub("systemctl", "exit 0")
    shell.stub("docker", "case $1 in info) echo 'proxies|||' ;; esac")
    assert Daemon().process(shell.lines(Daemon().command())) == DaemonState(
        True, True, True, ("", "", "")
    )


def test_command_of_a_stopped_daemon(shell: Shell) -> None:
    shell.stub("dockerd", ":")
    shell.stub("systemctl", "exit 1")
    shell.stub("docker", "exit 1")
    assert Daemon().process(shell.lines(Daemon().command())) == DaemonState(
        True, False, False, ("", "", "")
    )


@pytest.mark.parametrize(
    ("status", "installed"), [("installed", True), ("unpacked", False), ("half-configured", False)]
)
def test_an_interrupted_installation_is_none(shell: Shell, status: str, installed: bool) -> None:
    for name in ("dockerd", "docker", "systemctl"):
        shell.stub(name, "exit 0")
    shell.stub("dpkg-query", f"echo {status}")
    assert Daemon().process(shell.lines(Daemon().command())).installed is installed
