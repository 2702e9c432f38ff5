"""The script beside etcd that has another member lead etcd than the one that leads the database."""

from __future__ import annotations

import pytest

from tests.forked import PROJECT
from tests.unit.shell import Shell

SCRIPT = PROJECT / "images/etcd/lead-elsewhere"
ONE, TWO, THREE = (f"https://192.168.254.2{number}:2379" for number in range(3))
# etcdctl 3.5.16.
MEMBERS = f"""7d89a52b5c61360b, started, one, https://192.168.254.20:2380, {ONE}, false
f06c0f4f92898dc3, started, two, https://192.168.254.21:2380, {TWO}, false
ff8c78daaf16c9a4, started, three, https://192.168.254.22:2380, {THREE}, false"""
STATUS = """"ClusterID" : 9637401996014926784
"MemberID" : 9045735573567845899
"RaftTerm" : 2
"Leader" : {leader}
"IsLearner" : false
"Endpoint" : "https://127.0.0.1:2379"
"""
OWN, OTHER = "9045735573567845899", "17324238701022776771"


@pytest.fixture
def member(shell: Shell) -> Shell:
    """A member that leads etcd and the database, and all answer. The script ends after one turn."""
    shell.stub("sleep", f"test ! -e {shell.log}.slept && touch {shell.log}.slept")
    _answer(shell)
    return shell


def _answer(shell: Shell, leader: str = OWN, database: str = "one", well: str = TWO) -> None:
    """``well`` is the endpoint of the only other member that answers."""
    shell.stub(
        "etcdctl",
        f"""case "$ETCDCTL_ENDPOINTS $*" in
        'https://127.0.0.1:2379 --insecure-skip-tls-verify endpoint status --write-out=fields')
            cat <<'END'\n{STATUS.format(leader=leader)}END\n;;
        *' member list') cat <<'END'\n{MEMBERS}\nEND\n;;
        *' get --print-value-only /service/quaylab/leader') echo {database} ;;
        '{well} endpoint health') echo '{well} is healthy' ;;
        'https://127.0.0.1:2379 --insecure-skip-tls-verify move-leader '*) ;;
        *) exit 1 ;;
        esac""",
    )


def _moves(shell: Shell) -> list[str]:
    done = shell.run(
        f"export ETCD_NAME=one DATABASE_LEADER_KEY=/service/quaylab/leader; "
        f"export ETCDCTL_ENDPOINTS={ONE},{TWO},{THREE}; {SCRIPT}"
    )
    assert done.stderr == ""
    return [call.partition("move-leader ")[2] for call in shell.calls if "move-leader" in call]


@pytest.mark.parametrize(
    ("well", "identity"), [(TWO, "f06c0f4f92898dc3"), (THREE, "ff8c78daaf16c9a4")]
)
def test_a_member_that_answers_leads_etcd_instead(member: Shell, well: str, identity: str) -> None:
    _answer(member, well=well)
    assert _moves(member) == [identity]


def test_etcd_is_left_alone_if_another_member_leads_the_database(member: Shell) -> None:
    _answer(member, database="two")
    assert _moves(member) == []


def test_only_the_member_that_leads_etcd_does_anything(member: Shell) -> None:
    _answer(member, leader=OTHER)
    assert _moves(member) == []


def test_nobody_else_answers(member: Shell) -> None:
    _answer(member, well="nobody")
    assert _moves(member) == []


def test_etcd_does_not_answer(member: Shell) -> None:
    member.stub("etcdctl", "echo 'context deadline exceeded' >&2; exit 1")
    assert _moves(member) == []
