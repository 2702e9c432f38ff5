"""The script beside etcd that has another member lead etcd than the one that leads the database."""

from __future__ import annotations

import pytest

from tests.forked import PROJECT
from tests.unit.shell import Shell

SCRIPT = PROJECT / "images/etcd/lead-elsewhere"
ONE, TWO = "https://192.168.254.20:2379", "https://192.168.254.21:2379"
# etcdctl 3.5 prints this for a member that leads, and for others.
LEADS = f"{ONE}, 5a8d6bb3e5838b2a, 3.5.16, 115 kB, true, false, 4, 344, 344, "
FOLLOWS = f"{TWO}, 104ec68f62b85b7b, 3.5.16, 115 kB, false, false, 4, 344, 344, "


@pytest.fixture
def member(shell: Shell) -> Shell:
    """A member that leads etcd and the database; another one answers. The script ends after one
    turn."""
    shell.stub("sleep", f"test ! -e {shell.log}.slept && touch {shell.log}.slept")
    _answer(shell, own=LEADS, database="one", all_members=f"{LEADS}\n{FOLLOWS}")
    return shell


def _answer(shell: Shell, own: str, database: str, all_members: str) -> None:
    shell.stub(
        "etcdctl",
        f"""case "$*" in
        *'--insecure-skip-tls-verify endpoint status') echo "{own}" ;;
        'endpoint status') echo "{all_members}" ;;
        'get --print-value-only /service/quaylab/leader') echo {database} ;;
        *move-leader*) echo "at $ETCDCTL_ENDPOINTS" ;;
        *) exit 1 ;;
        esac""",
    )


def _moves(shell: Shell) -> list[str]:
    done = shell.run(
        f"export ETCD_NAME=one DATABASE_LEADER_KEY=/service/quaylab/leader; "
        f"export ETCDCTL_ENDPOINTS={ONE},{TWO}; {SCRIPT}"
    )
    assert done.stderr == ""
    return [call.partition("move-leader ")[2] for call in shell.calls if "move-leader" in call]


def test_a_member_that_answers_leads_etcd_instead(member: Shell) -> None:
    assert _moves(member) == ["104ec68f62b85b7b"]


def test_etcd_is_left_alone_if_another_member_leads_the_database(member: Shell) -> None:
    _answer(member, own=LEADS, database="two", all_members=f"{LEADS}\n{FOLLOWS}")
    assert _moves(member) == []


def test_only_the_member_that_leads_etcd_does_anything(member: Shell) -> None:
    _answer(member, own=FOLLOWS, database="one", all_members=f"{LEADS}\n{FOLLOWS}")
    assert _moves(member) == []


def test_nobody_else_answers(member: Shell) -> None:
    _answer(member, own=LEADS, database="one", all_members=LEADS)
    assert _moves(member) == []


def test_etcd_does_not_answer(member: Shell) -> None:
    member.stub("etcdctl", "echo 'context deadline exceeded' >&2; exit 1")
    assert _moves(member) == []
