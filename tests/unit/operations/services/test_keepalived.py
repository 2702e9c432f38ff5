"""keepalived: installed, run with its present configuration, and removed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from facts.keepalived import Keepalived, KeepalivedState
from operations.services import keepalived
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services.keepalived import CONFIGURATION, PENDING, files
from tests.unit import balanced
from tests.unit.balanced import BALANCERS, VIRTUAL
from tests.unit.fake_host import FakeHost
from tests.unit.fronted import running
from tests.unit.samples import machine
from tests.unit.shell import Shell

LB1, LB2, _ = BALANCERS
NOTHING = Keepalived.default()
TEST = f"keepalived --config-test --use-file={CONFIGURATION} >/dev/null"
UNIT = "quaylab-keepalived.service"


@pytest.fixture
def lab(store: Store) -> Plan:
    """The plan of two balancers with a virtual address, in place of one host's."""
    return balanced.made(store, virtual_address=VIRTUAL)


def _host(state: KeepalivedState = NOTHING) -> FakeHost:
    return FakeHost({Keepalived: state}, LB1)


# --- the package ---


def test_it_is_installed_once() -> None:
    host = _host(dataclasses.replace(NOTHING, installed=True))
    assert host.shell(keepalived.installed, machine=machine()) == []
    assert host.noops == ["keepalived is there"]


def test_debians_package() -> None:
    (command,) = _host().shell(keepalived.installed, machine=machine())
    assert "apt-get install" in command
    assert " keepalived " in command


@pytest.mark.parametrize("installed", [False, True])
def test_selinux_lets_it_ask_haproxy(installed: bool) -> None:
    host = _host(dataclasses.replace(NOTHING, installed=installed, forbidden=True))
    allow, *install = host.shell(keepalived.installed, machine=machine(os_id="rhel"))
    assert allow == "setsebool -P keepalived_connect_any on"
    assert install == ([] if installed else ["yum install --quiet --assumeyes keepalived"])


# --- running ---


def _running(
    lab: Plan, operation: Any = keepalived.running, **changes: Any
) -> tuple[list[str], FakeHost]:
    configuration, *_ = files(lab, LB1)
    state = KeepalivedState(True, True, False, True, True, False, configuration.sha256)
    host = _host(dataclasses.replace(state, **changes))
    return host.shell(operation, plan=lab), host


def test_it_is_left_alone_if_it_runs_with_its_configuration(lab: Plan) -> None:
    commands, host = _running(lab)
    assert commands == []
    assert host.noops == ["keepalived runs with its present configuration"]


@pytest.mark.parametrize(
    "changes",
    [
        {"active": False, "enabled": False, "loaded": ""},
        {"active": False},
        {"outdated": True},
        {"outdated": True, "loaded": "other"},
    ],
    ids=["first run", "stopped", "another unit", "another unit and configuration"],
)
def test_it_is_started_again(lab: Plan, changes: dict[str, Any]) -> None:
    test, start, wait = _running(lab, **changes)[0]
    assert "systemctl is-active --quiet" in wait
    assert test == TEST
    assert start == (
        f"systemctl daemon-reload && systemctl enable --quiet {UNIT} && systemctl restart {UNIT}"
    )


@pytest.mark.parametrize("changes", [{"loaded": "other"}, {"loaded": ""}, {"enabled": False}])
def test_a_reload_moves_no_address(lab: Plan, changes: dict[str, Any]) -> None:
    test, reload = _running(lab, **changes)[0]
    assert test == TEST
    assert reload == f"systemctl enable --quiet {UNIT} && systemctl reload {UNIT}"


def test_where_it_runs_it_knows_all_balancers_before_another_one_starts(lab: Plan) -> None:
    write, test, reload = _running(lab, keepalived.peers_loaded, loaded="other")[0]
    assert f"mv -fT {CONFIGURATION}.new {CONFIGURATION}" in write
    assert "quaylab-keepalived.service" not in write, "another unit would be a restart"
    assert (test, reload) == (TEST, f"systemctl reload {UNIT}")


@pytest.mark.parametrize("changes", [{}, {"active": False, "loaded": ""}], ids=["present", "new"])
def test_where_it_does_not_run_it_is_not_told(lab: Plan, changes: dict[str, Any]) -> None:
    assert _running(lab, keepalived.peers_loaded, **changes)[0] == []


def test_without_a_virtual_address_its_unit_is_removed() -> None:
    host = _host(dataclasses.replace(NOTHING, installed=True))
    assert host.shell(keepalived.absent) == []
    assert host.noops == ["no unit of ours is there"]
    (command,) = _host(dataclasses.replace(NOTHING, present=True)).shell(keepalived.absent)
    assert command.startswith(f"systemctl disable --now --quiet {UNIT} && rm -f ")
    assert "rm -rf /etc/quaylab/keepalived && systemctl daemon-reload" in command
    assert "apt" not in command, "the package stays"


# --- before HAProxy ---


def test_the_address_is_held_before_haproxy_runs(lab: Plan) -> None:
    (command,) = _host().shell(keepalived.unchecked, plan=lab)
    assert command.startswith(f"touch {PENDING}.new && ")
    host = _host(dataclasses.replace(NOTHING, pending=True))
    assert host.shell(keepalived.unchecked, plan=lab) == []
    (command,) = host.shell(keepalived.checked)
    assert command == f"rm -f {PENDING}"


@pytest.mark.parametrize("enforces", [False, True])
def test_selinux_lets_its_check_see_that_haproxy_is_awaited(
    lab: Plan, shell: Shell, tmp_path: Path, enforces: bool
) -> None:
    """keepalived may read files in /run whose names begin like its own, once they are labelled."""
    assert PENDING.startswith("/run/keepalived")
    pending = tmp_path / "pending"
    shell.stub("selinuxenabled", f"exit {0 if enforces else 1}")
    shell.stub("restorecon", f'test "$*" = {pending}.new && test ! -e {pending}')
    (command,) = _host().shell(keepalived.unchecked, plan=lab)
    assert shell.run(command.replace(PENDING, str(pending))).returncode == 0
    assert pending.exists()
    assert (f"restorecon {pending}.new" in shell.calls) is enforces


def test_where_haproxy_runs_it_is_asked(lab: Plan) -> None:
    host = _host()
    assert host.shell(keepalived.unchecked, plan=running(lab, LB1, "balancer")) == []
    assert host.shell(keepalived.checked) == []
    assert host.noops == ["HAProxy runs", "it holds the address only while HAProxy is well"]
