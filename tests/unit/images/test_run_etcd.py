"""The script that becomes etcd: whether a member founds a cluster or joins one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.forked import PROJECT
from tests.unit.shell import Shell

OWN = "https://192.168.254.21:2380"
OTHER = "0d, started, one, https://192.168.254.20:2380, https://192.168.254.20:2379, false"
ANNOUNCED = f"{OTHER}\n0e, unstarted, , {OWN}, , false"


class Member:
    """A member's container; ``etcd`` prints what its environment says of the cluster."""

    def __init__(self, shell: Shell, folder: Path) -> None:
        self.shell = shell
        self.data, self.etc = folder / "data", folder / "etc"
        for each in (self.data, self.etc):
            each.mkdir()
        values = {"NAME": "two", "DATA_DIR": self.data, "INITIAL_ADVERTISE_PEER_URLS": OWN}
        lines = [f"ETCD_{name}={value}\n" for name, value in values.items()]
        (self.etc / "environment").write_text("".join(lines))
        (self.etc / "members").write_text("ETCD_INITIAL_CLUSTER=all\n")
        self.script = folder / "run-etcd"
        source = (PROJECT / "images/etcd/run-etcd").read_text()
        self.script.write_text(source.replace("/etc/quaylab", str(self.etc)))
        shell.stub("lead-elsewhere", "")
        shell.stub("etcd", 'echo "$ETCD_INITIAL_CLUSTER_STATE $ETCD_INITIAL_CLUSTER"')
        self.list("")

    def list(self, members: str, later: str | None = None) -> None:
        """Have the others list these members; other ones after the script has waited."""
        self.shell.stub("etcdctl", f"cat <<'END'\n{members}\nEND")
        path = self.shell.stubs / "etcdctl"
        self.shell.stub("sleep", f"sed -i 's|^{OTHER}$|{later or members}|' {path}")

    def write(self, name: str) -> Path:
        path = self.data / "member" / name
        path.parent.mkdir(parents=True)
        path.write_text("")
        return path

    def start(self) -> str:
        done = self.shell.run(f"bash {self.script}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def member(shell: Shell, tmp_path: Path) -> Member:
    return Member(shell, tmp_path)


@pytest.mark.parametrize("listed", ["", OTHER], ids=["nobody answers", "not announced"])
def test_a_new_cluster_is_founded(member: Member, listed: str) -> None:
    member.list(listed)
    assert member.start() == "new all"


def test_an_announced_member_joins_exactly_those_that_are_there(member: Member) -> None:
    member.list(ANNOUNCED)
    assert member.start() == f"existing one=https://192.168.254.20:2380,two={OWN}"


def test_a_member_with_a_log_asks_nobody(member: Member) -> None:
    path = member.write("wal/0000000000000000-0000000000000000.wal")
    (member.etc / "joins").write_text("")
    assert member.start() == "new all"
    assert path.exists()
    assert not [call for call in member.shell.calls if call.startswith("etcdctl")]


def test_what_a_failed_start_has_left_is_no_data(member: Member) -> None:
    path = member.write("snap/db")
    member.list(ANNOUNCED)
    assert member.start().startswith("existing ")
    assert not path.exists()


def test_a_member_that_a_run_has_announced_waits_for_the_others(member: Member) -> None:
    """Alone it would found a cluster of its own."""
    (member.etc / "joins").write_text("")
    member.list(OTHER, later=ANNOUNCED.replace("\n", "\\n"))
    assert member.start().startswith("existing ")
    assert [call for call in member.shell.calls if call.startswith("sleep")] == ["sleep 2"]
