"""keepalived's unit, and whether a machine answers at an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from facts.keepalived import AddressInUse, Keepalived, KeepalivedState
from quaylab.services.keepalived import LOADED, PENDING, UNIT_FILE
from tests.unit.shell import Shell

ADDRESS = "192.168.254.100"
SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _state(shell: Shell, folder: Path) -> KeepalivedState:
    command = Keepalived().command()
    for path in (UNIT_FILE, LOADED, PENDING):
        command = command.replace(path, str(folder / Path(path).name))
    return Keepalived().process(shell.lines(command))


def _systemctl(shell: Shell, active: int = 0, enabled: int = 0, reload: str = "no") -> None:
    shell.stub(
        "systemctl",
        f"""case $1 in
  is-active) exit {active} ;;
  is-enabled) exit {enabled} ;;
  show) echo NeedDaemonReload={reload} ;;
esac""",
    )


def test_running(shell: Shell, tmp_path: Path) -> None:
    shell.stub("keepalived", "")
    _systemctl(shell)
    for path in (UNIT_FILE, LOADED):
        (tmp_path / Path(path).name).touch()
    assert _state(shell, tmp_path) == KeepalivedState(
        installed=True,
        present=True,
        pending=False,
        active=True,
        enabled=True,
        outdated=False,
        loaded=SHA256,
    )


def test_running_before_haproxy(shell: Shell, tmp_path: Path) -> None:
    _systemctl(shell)
    (tmp_path / Path(PENDING).name).touch()
    assert _state(shell, tmp_path).pending


def test_a_unit_that_systemd_has_not_read_again(shell: Shell, tmp_path: Path) -> None:
    _systemctl(shell, active=3, enabled=1, reload="yes")
    (tmp_path / Path(UNIT_FILE).name).touch()
    found = _state(shell, tmp_path)
    assert (found.present, found.active, found.enabled) == (True, False, False)
    assert (found.outdated, found.loaded) == (True, "")


@pytest.mark.parametrize(
    ("getsebool", "forbidden"),
    [
        ("echo 'keepalived_connect_any --> off'", True),
        ("echo 'keepalived_connect_any --> on'", False),
        ("echo 'getsebool:  SELinux is disabled' >&2; exit 1", False),
        ("echo 'Error getting active value for keepalived_connect_any' >&2; exit 1", False),
    ],
    ids=["off", "on", "no SELinux", "a policy without it"],
)
def test_whether_selinux_forbids_its_check(
    shell: Shell, tmp_path: Path, getsebool: str, forbidden: bool
) -> None:
    _systemctl(shell)
    shell.stub("getsebool", getsebool)
    assert _state(shell, tmp_path).forbidden is forbidden


def test_a_host_without_it(shell: Shell, tmp_path: Path) -> None:
    shell.stub("systemctl", "exit 4")
    assert _state(shell, tmp_path) == Keepalived.default()


def test_no_answer_is_the_default() -> None:
    assert Keepalived().process([]) == Keepalived.default()


@pytest.mark.parametrize(
    ("neighbour", "answers"),
    [
        (f"{ADDRESS} dev eth0 lladdr 52:54:00:12:34:56 REACHABLE", True),
        (f"{ADDRESS} dev eth0 FAILED", False),
        (f"{ADDRESS} dev eth0 INCOMPLETE", False),
        ("", False),
    ],
)
def test_a_machine_that_has_an_address_is_a_neighbour(
    shell: Shell, neighbour: str, answers: bool
) -> None:
    """Lines as iproute2 prints them. No packet is sent: the address is documentation's."""
    shell.stub("ip", f"echo '{neighbour}'")
    shell.stub("sleep", "")
    shell.stub("bash", "")
    found = shell.lines(AddressInUse().command(address=ADDRESS))
    assert AddressInUse().process(found) is answers
    # What was learnt before the question may be out of date.
    assert shell.calls == [
        f"ip neigh flush to {ADDRESS}",
        f"bash -c echo >/dev/udp/{ADDRESS}/9",
        "sleep 1",
        f"ip neigh show to {ADDRESS}",
    ]
