"""The fact about a member of the database's cluster, from the answer of a real one."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.patroni import Member, Patroni, PatroniState
from quaylab.services import patroni_config
from tests.unit.shell import Shell

# Patroni 4.0.7: the third member leads, the second one, which answers, is synchronous.
RECORDED = json.loads((Path(__file__).parent / "recorded" / "patroni.json").read_text())
CONTAINER = "quaylab-database"


def _process(report: dict[str, Any]) -> PatroniState:
    found = Patroni().process([json.dumps(report)])
    assert found
    return found


def _with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Return the recorded answer with a change."""
    report: dict[str, Any] = copy.deepcopy(RECORDED)
    change(report)
    return report


def _of(name: str, **changes: Any) -> PatroniState:
    """Return the state with one member changed."""

    def change(report: dict[str, Any]) -> None:
        (member,) = (each for each in report["cluster"]["members"] if each["name"] == name)
        member.update(changes)

    return _process(_with(change))


def test_members_with_their_roles() -> None:
    found = _process(RECORDED)
    assert found.members == {
        "one": Member("replica", "streaming", 0),
        "two": Member("sync_standby", "streaming", 0),
        "three": Member("leader", "running", None),
    }
    assert (found.name, found.loaded) == ("two", "030fd941db06ad03")
    assert (found.leader, found.successor) == ("three", "two")
    assert found.own == Member("sync_standby", "streaming", 0)
    assert not found.leads


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        ({"one": "", "three": ""}, ["one", "three"]),
        ({"one": "", "former": "198.18.0.3"}, ["one", "two"]),
    ],
    ids=["by name", "by address"],
)
def test_who_was_forgotten_and_registers_itself_again_can_be_left_out(
    addresses: dict[str, str], names: list[str]
) -> None:
    found = _process(RECORDED).among(addresses)
    assert sorted(found.members) == names


def test_the_clusters_settings_are_compared_with_the_wanted_ones() -> None:
    """The recorded cluster is older than these settings."""
    wanted = patroni_config.dynamic_settings()
    found = _process(RECORDED).settings
    assert patroni_config.changes(wanted, found) == {
        "failsafe_mode": True,
        "loop_wait": 3,
        "maximum_lag_on_failover": 1024**4,
        "postgresql": {"parameters": {"max_slot_wal_keep_size": "8GB"}},
        "synchronous_mode": "quorum",
    }


def test_the_leaders_own_answer() -> None:
    found = _process(_with(lambda report: report["patroni"]["patroni"].update(name="three")))
    assert found.leads


@pytest.mark.parametrize(
    ("role", "state", "leads", "follows", "synchronous"),
    [
        ("leader", "running", True, False, False),
        ("leader", "starting", False, False, False),
        ("leader", "stopping", False, False, False),
        ("sync_standby", "streaming", False, True, True),
        ("quorum_standby", "streaming", False, True, True),
        # It no longer has everything, but Patroni has not noticed yet.
        ("quorum_standby", "stopped", False, False, False),
        ("sync_standby", "running", False, False, False),
        ("replica", "streaming", False, True, False),
        ("replica", "running", False, False, False),
        ("replica", "creating replica", False, False, False),
        ("replica", "in archive recovery", False, False, False),
        ("replica", "start failed", False, False, False),
        ("replica", "stopped", False, False, False),
    ],
)
def test_roles_and_states(
    role: str, state: str, leads: bool, follows: bool, synchronous: bool
) -> None:
    """Patroni's words: its REST API's documentation, "/cluster"."""
    member = Member(role, state, 0)
    assert (member.leads, member.follows, member.is_synchronous) == (leads, follows, synchronous)


@pytest.mark.parametrize(
    ("others", "can"),
    [
        (
            [Member("quorum_standby", "streaming", 0), Member("quorum_standby", "streaming", 9)],
            True,
        ),
        ([Member("quorum_standby", "streaming", 0), Member("replica", "stopped", None)], True),
        # As long as Patroni counts on it, all have to answer.
        ([Member("quorum_standby", "streaming", 0), Member("quorum_standby", "stopped", 0)], False),
        (
            [Member("quorum_standby", "streaming", 0), Member("sync_standby", "streaming", 2**30)],
            False,
        ),
        ([Member("replica", "streaming", 0), Member("replica", "streaming", 0)], False),
    ],
)
def test_whether_the_leader_can_switch_over(others: list[Member], can: bool) -> None:
    members = [Member("leader", "running", None), *others]
    state = PatroniState("0", "", {str(at): each for at, each in enumerate(members)}, {})
    assert state.can_switch_over is can


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (Member("leader", "running", None), "leads"),
        (Member("leader", "starting", None), "leader, starting"),
        (Member("sync_standby", "streaming", 0), "synchronous, streaming"),
        (Member("quorum_standby", "streaming", 0), "synchronous, streaming"),
        (Member("replica", "streaming", 3 * 1024**2), "replica, streaming, 3.0 MiB behind"),
        (Member("replica", "start failed", None), "replica, start failed"),
    ],
)
def test_words(member: Member, words: str) -> None:
    assert str(member) == words


def test_nobody_leads() -> None:
    assert _of("three", state="stopped").leader is None
    assert _of("three", role="replica", state="running").leader is None


def test_nobody_can_take_over() -> None:
    found = _of("two", role="replica")
    assert (found.leader, found.successor) == ("three", None)


def test_a_lag_that_is_unknown() -> None:
    assert _of("one", lag="unknown").members["one"].lag is None


def test_a_member_that_the_others_do_not_know() -> None:
    found = _process(_with(lambda report: report["cluster"].update(members=[])))
    assert (found.own, found.leader) == (None, None)
    assert not found.leads


@pytest.mark.parametrize("tags", [{}, {"nofailover": True}])
def test_a_member_without_a_file_of_ours(tags: dict[str, Any]) -> None:
    assert _process(_with(lambda report: report["patroni"].update(tags=tags))).loaded == ""


def test_a_member_without_any_tag() -> None:
    assert _process(_with(lambda report: report["patroni"].pop("tags"))).loaded == ""


@pytest.mark.parametrize("lines", [[], [""], ["", "  "]], ids=["nothing", "empty", "blank"])
def test_no_answer(lines: list[str]) -> None:
    assert Patroni().process(lines) is None


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):",
        json.dumps(RECORDED)[:-10],
        "[]",
        "{}",
        json.dumps({**RECORDED, "cluster": {}}),
        json.dumps({**RECORDED, "cluster": {"members": [{"name": "one"}]}}),
        json.dumps({**RECORDED, "patroni": None}),
    ],
    ids=["words", "cut off", "a list", "empty", "no members", "no role", "no member of its own"],
)
def test_an_answer_that_cannot_be_read(text: str) -> None:
    with pytest.raises(FactProcessError, match=r"^Patroni's answer can't be read: "):
        Patroni().process([text])


# --- the question ---


def test_the_question_is_one_word_for_the_containers_shell(shell: Shell) -> None:
    (shell.stubs / "answer").write_text(json.dumps(RECORDED))
    shell.stub("docker", 'shift 2; "$@"')
    parse = f"'{sys.executable}' -c 'import ast, sys; ast.parse(sys.stdin.read())'"
    parse = f"'{sys.executable}' -c 'import ast, sys; ast.parse(sys.stdin.read())'"
    answer = f"cat '{shell.stubs}/answer'"
    shell.stub("python3", f'test "$1 $#" = "-c 2" && printf %s "$2" | {parse} && {answer}')
    lines = shell.lines(Patroni().command(container=CONTAINER))
    assert Patroni().process(lines) == _process(RECORDED)
    assert shell.calls[0].startswith(f"docker exec {CONTAINER} ")


@pytest.mark.parametrize("code", [1, 125, 127])
def test_no_container_and_no_patroni(shell: Shell, code: int) -> None:
    shell.stub("docker", f"echo 'No such container' >&2; exit {code}")
    lines = shell.lines(Patroni().command(container=CONTAINER))
    assert Patroni().process(lines) is None
