"""The fact about HAProxy, from the answers of a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.balancer import WORKERS, Balancer, BalancerState, Server
from quaylab.services import balancer
from tests.unit.shell import Shell

# HAProxy 3.0.11 with three nodes: the first is drained, the second in maintenance and down.
RECORDED = (Path(__file__).parent / "recorded" / "haproxy.txt").read_text().splitlines()
FIRST, SECOND, THIRD = "quay1.example.com", "quay1.example.com-2", "quay2.example.com"
CONTAINER = "quaylab-balancer"


def _process(lines: list[str]) -> BalancerState:
    found = Balancer().process(lines)
    assert found
    return found


def _changed(before: str, after: str) -> list[str]:
    """Return the recorded answer with one line changed."""
    assert sum(before in line for line in RECORDED) == 1
    return [line.replace(before, after) for line in RECORDED]


def test_nodes_by_their_names() -> None:
    found = _process(RECORDED)
    assert found.loaded == "14dc7037b57641bc"
    assert found.servers == {
        FIRST: Server(up=True, drained=True, maintained=False, sessions=0),
        SECOND: Server(up=False, drained=False, maintained=True, sessions=0),
        THIRD: Server(up=True, drained=False, maintained=False, sessions=0),
    }
    assert [name for name, server in found.servers.items() if server.in_service] == [THIRD]


def test_requests_that_a_drained_node_still_answers() -> None:
    found = _process(_changed(f"quay,{FIRST},0,0,0,", f"quay,{FIRST},0,0,17,"))
    assert found.servers[FIRST].sessions == 17
    assert str(found.servers[FIRST]) == "drained, 17 requests left"


@pytest.mark.parametrize(
    ("state", "in_service", "words"),
    [
        ("2 0", True, "in service"),
        ("0 0", False, "down"),
        ("1 0", False, "down"),
        ("3 0", False, "down"),
        ("2 8", False, "drained, 0 requests left"),
        ("0 8", False, "drained, 0 requests left"),
        ("2 1", False, "in maintenance"),
        ("2 9", False, "in maintenance"),
        ("2 4", True, "in service"),
    ],
)
def test_operational_and_administrative_states(state: str, in_service: bool, words: str) -> None:
    """Of HAProxy's management guide, "show servers state"."""
    found = _process(_changed(f" {THIRD} 127.0.0.1 2 0 ", f" {THIRD} 127.0.0.1 {state} "))
    server = found.servers[THIRD]
    assert (server.in_service, str(server)) == (in_service, words)


def test_no_node() -> None:
    """As behind a balancer that a run has just added."""
    lines = [line for line in RECORDED if not line.startswith(("quay,", "5 quay "))]
    assert _process(lines) == BalancerState("14dc7037b57641bc", {})


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["", "", ""],
        ["ask-haproxy: /run/haproxy-admin.sock: Connection refused"],
        ["Name: HAProxy", "Version: 3.0.11-1+deb13u5"],
    ],
    ids=["nothing", "empty", "an error", "without a description"],
)
def test_no_answer(lines: list[str]) -> None:
    assert Balancer().process(lines) is None


def _only(*beginnings: str) -> list[str]:
    return [line for line in RECORDED if line.startswith(beginnings)]


@pytest.mark.parametrize(
    "lines",
    [
        _only("description:"),
        _only("description:", "5 quay"),
        [*_only("description:"), "# pxname,", "5 quay x"],
        [*_only("description:", "# pxname"), "5 quay 1 quay1 127.0.0.1 2 0 1"],
        [*_only("description:", "# pxname"), "5 quay 1 quay1"],
        _changed(f" {THIRD} 127.0.0.1 2 0 ", f" {THIRD} 127.0.0.1 up 0 "),
        _changed(f"quay,{THIRD},0,0,0,", f"quay,{THIRD},0,0,,"),
        _changed("# pxname,svname,qcur,qmax,scur,", "# pxname,svname,qcur,qmax,current,"),
    ],
    ids=[
        "no states",
        "no statistics",
        "garbage",
        "no requests of a node",
        "half a line",
        "a state in words",
        "no number",
        "another column",
    ],
)
def test_an_answer_that_cannot_be_read(lines: list[str]) -> None:
    with pytest.raises(FactProcessError, match=r"^HAProxy's answer can't be read: "):
        Balancer().process(lines)


def test_a_row_that_ends_early() -> None:
    lines = [f"quay,{THIRD}" if line.startswith(f"quay,{THIRD},") else line for line in RECORDED]
    with pytest.raises(FactProcessError):
        Balancer().process(lines)


def test_one_command_asks_all(shell: Shell) -> None:
    """Against a stub that answers each question with its part of the recorded answer."""
    at = next(number for number, line in enumerate(RECORDED) if line.startswith("# pxname"))
    parts = {
        "show info": _only("Name:", "description:"),
        "show servers state quay": _only("# be_id", "5 quay"),
        "show stat quay 4 -1": RECORDED[at : at + 4],
    }
    for number, lines in enumerate(parts.values()):
        (shell.stubs / str(number)).write_text("".join(f"{line}\n" for line in lines))
    shell.stub("docker", 'shift 2; "$@"')
    command = Balancer().command(container=CONTAINER)
    for number, question in enumerate(parts):
        command = command.replace(_quoted_twice(question), f"cat {shell.stubs / str(number)}")
    assert balancer.ASK not in command
    assert Balancer().process(shell.lines(command)) == _process(RECORDED)
    assert shell.calls[0].startswith(f"docker exec {CONTAINER} sh -c ")


def test_workers_from_before_a_reload_are_counted(shell: Shell, tmp_path: Path) -> None:
    for pid, stat in {
        1: "1 (haproxy) S 0 1",
        7: "7 (haproxy) S 1 1",
        8: "8 (haproxy) S 1 1",
        9: "9 (sh) S 0 9",
    }.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{stat}\n")
    (tmp_path / "10").mkdir()  # it has just ended
    found = shell.lines(WORKERS.replace("/proc", str(tmp_path)))
    assert found == ["worker", "worker"]
    assert _process([*RECORDED, *found]).workers == 2


def _quoted_twice(question: str) -> str:
    return balancer.ask(question).replace("'", "'\"'\"'")


def test_no_container(shell: Shell) -> None:
    shell.stub("docker", "echo 'No such container' >&2; exit 1")
    lines = shell.lines(Balancer().command(container=CONTAINER))
    assert Balancer().process(lines) is None
