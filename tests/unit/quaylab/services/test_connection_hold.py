"""Held connections: the commands, in a real shell with stubs for iptables and ss."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaylab.services import connection_hold
from quaylab.services.connection_hold import Hold
from tests.unit.shell import Shell

ADDRESS = "192.0.2.100"
BEGUN, ENDED = "docker exec begin", "docker exec end"
HOLD = Hold((443, 80), ADDRESS, "1f", BEGUN, ENDED)
RULE = (
    f"INPUT --destination {ADDRESS} --protocol tcp --syn --match multiport --dports 443,80 "
    "--match comment --comment quaylab-hold-1f --jump DROP"
)
LISTED = "iptables --wait --list-rules INPUT"
INSERTED, DELETED = f"iptables --wait --insert {RULE}", f"iptables --wait --delete {RULE}"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    for name in ("iptables", "nft", "docker", "systemctl"):
        shell.stub(name, "")
    # Without systemd: else it would be this machine's.
    shell.stub("systemd-run", "exit 1")
    return shell


def _begun(shell: Shell, hold: Hold) -> list[str]:
    """Begin a hold; return the calls without those of what ends it by itself."""
    shell.stub("nohup", "")
    assert shell.run(hold.begin).returncode == 0
    return [call for call in shell.calls if not call.startswith(("nohup", "systemd-run"))]


def test_a_hold_drops_only_what_opens_a_connection_to_the_registrys_ports(shell: Shell) -> None:
    assert _begun(shell, HOLD) == [INSERTED, BEGUN]


def test_without_one_address_it_is_for_all_of_the_machine(shell: Shell) -> None:
    begun = _begun(shell, Hold((443, 80), None, "1f", BEGUN, ENDED))
    assert begun[0] == INSERTED.replace(f"--destination {ADDRESS} ", "")


def test_it_ends_by_itself(shell: Shell) -> None:
    shell.stub("sleep", "")
    assert shell.run(HOLD.begin).returncode == 0
    ends = (f"sleep {connection_hold.LONGEST}", DELETED, ENDED)
    shell.await_call(ENDED)
    assert [call for call in shell.calls if call in ends] == [*ends]


def test_systemd_ends_it_where_it_runs(shell: Shell) -> None:
    """Then it survives the session of the run. The stub's time is over at once."""
    shell.stub("systemd-run", 'for last; do :; done; sh -c "$last"')
    assert shell.run(HOLD.begin).returncode == 0
    options = f"--unit=quaylab-hold-1f --on-active={connection_hold.LONGEST} "
    assert f"{options}--timer-property=AccuracySec=1s sh -c" in shell.calls[0]
    assert shell.calls[1:] == [DELETED, LISTED, "nft list tables", ENDED, INSERTED, BEGUN]


@pytest.mark.parametrize("tool", ["iptables", "nft"])
def test_what_ends_it_leaves_haproxy_to_another_hold(shell: Shell, tool: str) -> None:
    """The run that began it was killed, and the next one holds connections as well."""
    shell.stub("systemd-run", 'for last; do :; done; sh -c "$last"')
    shell.stub(tool, 'case $* in *list*) echo "quaylab-hold-2e" ;; esac')
    assert shell.run(HOLD.begin).returncode == 0
    assert DELETED in shell.calls
    assert ENDED not in shell.calls


def test_what_ends_it_later_tells_haproxy_nothing_if_it_has_ended(shell: Shell) -> None:
    """Another hold may have begun, in which HAProxy takes part."""
    shell.stub("systemd-run", 'for last; do :; done; sh -c "$last"')
    for name in ("iptables", "nft"):
        shell.stub(name, "exit 1")
    shell.run(HOLD.begin)
    assert ENDED not in shell.calls


def test_one_that_has_ended_may_be_ended_again(shell: Shell) -> None:
    for name in ("iptables", "nft"):
        shell.stub(name, "echo 'no such rule' >&2; exit 1")
    done = shell.run(HOLD.end)
    assert (done.returncode, done.stderr) == (0, "")
    assert shell.calls == [
        DELETED,
        "nft delete table inet quaylab-hold-1f",
        ENDED,
        "systemctl stop quaylab-hold-1f.timer",
    ]


def test_nftables_without_iptables(shell: Shell) -> None:
    shell.stub("iptables", "exit 1")
    shell.stub("nft", "")
    table = "inet quaylab-hold-1f"
    assert _begun(shell, HOLD)[1:] == [
        f"nft table {table} {{ chain input {{ type filter hook input priority -1; "
        f"ip daddr {ADDRESS} tcp dport {{ 443, 80 }} "
        "tcp flags & (fin | syn | rst | ack) == syn drop; }; }",
        BEGUN,
    ]
    shell.run(HOLD.end)
    assert f"nft delete table {table}" in shell.calls


def test_without_both_there_is_no_hold(shell: Shell) -> None:
    for name in ("iptables", "nft"):
        shell.stub(name, "exit 1")
    for command in (HOLD.begin, HOLD.end):
        done = shell.run(command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert BEGUN not in shell.calls


def test_open_connections_have_time_to_end(shell: Shell, tmp_path: Path) -> None:
    remaining = tmp_path / "remaining"
    remaining.write_text("one\ntwo\n")
    shell.stub("ss", f"cat {remaining}; sed -i 1d {remaining}")
    assert shell.run(HOLD.wait).returncode == 0
    ports = "( sport = :443 or sport = :80 )"
    assert shell.calls == [f"ss --no-header --tcp state established {ports} and src {ADDRESS}"] * 3


def test_those_that_never_end_are_not_waited_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_hold, "PATIENCE", 2)
    shell.stub("ss", "echo one")
    assert shell.run(HOLD.wait).returncode == 0
    assert len(shell.calls) > 3
