"""keepalived: which balancer holds the virtual address, and where."""

from __future__ import annotations

import dataclasses

import pytest

from quaylab.services import keepalived
from quaylab.services.base import Context
from tests.unit import balanced
from tests.unit.balanced import ADDRESSES, BALANCERS, VIRTUAL
from tests.unit.samples import machine
from tests.unit.shell import Shell

FIRST, SECOND, THIRD = BALANCERS


@pytest.fixture(scope="module")
def run() -> Context:
    where = balanced.layout(3, virtual_address=VIRTUAL)
    return balanced.run(where, virtual_address=VIRTUAL, virtual_router_id=77)


def _lines(run: Context, name: str) -> list[str]:
    return [line.strip() for line in keepalived.configuration(run, name).splitlines()]


def test_balancers_talk_to_each_other_alone(run: Context) -> None:
    """By unicast, which clouds and switches let through."""
    for name in BALANCERS:
        lines = _lines(run, name)
        begin = lines.index("unicast_peer {")
        peers = lines[begin + 1 : lines.index("}", begin)]
        assert peers == [ADDRESSES[each] for each in BALANCERS if each != name]
        assert f"unicast_src_ip {ADDRESSES[name]}" in lines


def test_each_balancer_has_a_priority_of_its_own(run: Context) -> None:
    for name, priority in zip(BALANCERS, (100, 99, 98), strict=True):
        assert f"priority {priority}" in _lines(run, name)


def test_a_balancer_that_comes_back_takes_nothing_away(run: Context) -> None:
    for name in BALANCERS:
        assert "state BACKUP" in _lines(run, name)
        assert "nopreempt" in _lines(run, name)


def test_the_address_is_on_the_interface_of_its_network() -> None:
    where = balanced.layout(virtual_address=VIRTUAL)
    before = balanced.run(where, virtual_address=VIRTUAL)
    networks = (("eth0", "10.0.0.21/24"), ("ens4", "192.168.254.21/24"))
    machines = {**before.machines, FIRST: balanced.report(FIRST, networks=networks)}
    run = dataclasses.replace(before, machines=machines)
    assert "interface ens4" in _lines(run, FIRST)
    assert f"{VIRTUAL}/32 dev ens4" in _lines(run, FIRST)
    assert f"{VIRTUAL}/32 dev eth0" in _lines(run, SECOND)


@pytest.mark.parametrize(
    ("networks", "interface"),
    [
        ((), None),
        ((("eth0", "10.0.0.21/24"),), None),
        ((("eth0", "192.168.254.21/26"),), None),
        ((("eth0", "10.0.0.21/24"), ("ens4", "192.168.254.21/24")), "ens4"),
        ((("ens4", "192.168.254.21/24"), ("ens5", "192.168.254.22/24")), "ens4"),
    ],
    ids=["none", "another network", "too small", "second", "two"],
)
def test_interface(networks: tuple[tuple[str, str], ...], interface: str | None) -> None:
    assert keepalived.interface_of(machine(networks=networks), VIRTUAL) == interface


def test_its_network_has_a_number_of_its_own(run: Context) -> None:
    assert "virtual_router_id 77" in _lines(run, FIRST)


def test_a_script_that_others_may_change_is_not_run_as_root(run: Context) -> None:
    configuration, check, unit = keepalived.files(run, FIRST)
    assert (configuration.path, configuration.mode) == (
        "/etc/quaylab/keepalived/keepalived.conf",
        0o600,
    )
    assert (check.path, check.mode, check.uid) == ("/etc/quaylab/keepalived/check", 0o700, 0)
    assert "enable_script_security" in configuration.content
    assert f'script "/usr/bin/bash {check.path}"' in configuration.content
    assert unit.path == "/etc/systemd/system/quaylab-keepalived.service"


def test_the_unit_tells_which_configuration_it_has_loaded(run: Context) -> None:
    """A run compares it with the wanted one."""
    lines = keepalived.files(run, FIRST)[2].content.splitlines()
    copy = f"/bin/cp {keepalived.CONFIGURATION} {keepalived.LOADED}"
    assert f"ExecStartPost={copy}" in lines
    reload = [line for line in lines if line.startswith("ExecReload=")]
    assert reload == ["ExecReload=/bin/kill -HUP $MAINPID", f"ExecReload={copy}"]
    (start,) = (line for line in lines if line.startswith("ExecStart="))
    assert f"--use-file={keepalived.CONFIGURATION}" in start
    assert "--dont-fork" in start


@pytest.mark.parametrize(
    ("answer", "well"), [("HTTP/1.0 200 OK", True), ("HTTP/1.0 503 Service Unavailable", False)]
)
def test_check(run: Context, shell: Shell, answer: str, well: bool) -> None:
    """With a file in place of the connection."""
    port = run.settings.balancer_status_port
    script = keepalived.files(run, FIRST)[1].content
    path = shell.stubs / "connection"
    path.write_text(f"{answer}\r\n\r\n")
    opened = script.replace(f"exec 3<>/dev/tcp/127.0.0.1/{port}", f"exec 3<{path} 4>/dev/null")
    (shell.stubs / "check").write_text(opened.replace(">&3", ">&4"))
    assert (shell.run(f"bash {shell.stubs}/check").returncode == 0) is well


def test_check_before_haproxy_has_started(run: Context, shell: Shell) -> None:
    script = keepalived.files(run, FIRST)[1].content.replace("/8404", "/1")
    pending = shell.stubs / "pending"
    (shell.stubs / "check").write_text(script.replace(keepalived.PENDING, str(pending)))
    pending.touch()
    assert shell.run(f"bash {shell.stubs}/check").returncode == 0
    pending.unlink()
    assert shell.run(f"bash {shell.stubs}/check").returncode == 1


def test_check_without_haproxy(run: Context, shell: Shell) -> None:
    script = keepalived.files(run, FIRST)[1].content
    (shell.stubs / "check").write_text(script.replace("/8404", "/1"))
    assert shell.run(f"bash {shell.stubs}/check").returncode == 1


def test_systemd_never_gives_up(run: Context) -> None:
    """By default it does after five failures within 10 s, as of an interface that comes late."""
    (unit,) = (each for each in keepalived.files(run, FIRST) if each.path == keepalived.UNIT_FILE)
    section, _, _ = unit.content.partition("[Service]")
    assert "StartLimitIntervalSec=0" in section.splitlines()
