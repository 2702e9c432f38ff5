"""The fact about the router, from the answer of a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.router import Router
from tests.unit.shell import Shell

# HAProxy 3.0.11: the third database member leads, and the first of three Redises serves.
RECORDED = (Path(__file__).parent / "recorded" / "router.txt").read_text().splitlines()
CONTAINER = "quaylab-router"
SERVING = {"database": ["three"], "redis": ["one"]}


def _with(service: str, member: str, before: str, after: str) -> list[str]:
    """Return the recorded answer with another status of a member."""
    lines = list(RECORDED)
    (at,) = (n for n, line in enumerate(lines) if line.startswith(f"{service},{member},"))
    assert f",{before}," in lines[at]
    lines[at] = lines[at].replace(f",{before},", f",{after},", 1)
    return lines


def test_who_serves() -> None:
    assert Router().process(RECORDED) == SERVING


def test_the_next_redis_serves_if_the_first_is_down() -> None:
    found = Router().process(_with("redis", "one", "UP", "DOWN"))
    assert found == {"database": ["three"], "redis": ["two"]}


def test_no_leader() -> None:
    found = Router().process(_with("database", "three", "UP", "DOWN"))
    assert found == {"database": [], "redis": ["one"]}


@pytest.mark.parametrize(
    ("status", "serves"),
    [("UP", True), ("UP 1/2", True), ("DOWN", False), ("DOWN 1/2", False), ("MAINT", False)],
)
def test_states_of_a_member(status: str, serves: bool) -> None:
    """A member whose checks begin to fail still serves: HAProxy's management guide, "status"."""
    found = Router().process(_with("database", "three", "UP", status))
    assert found and found["database"] == (["three"] if serves else [])


def test_a_service_that_is_not_routed() -> None:
    lines = [line for line in RECORDED if not line.startswith("redis,")]
    assert Router().process(lines) == {"database": ["three"]}


@pytest.mark.parametrize(
    "lines",
    [[], [""], ["HTTP/1.1 200 OK", "content-type: text/plain", ""], ["bash: connect: refused"]],
    ids=["nothing", "empty", "no table", "an error"],
)
def test_no_answer(lines: list[str]) -> None:
    assert Router().process(lines) is None


@pytest.mark.parametrize("column", ["svname", "status", "act"])
def test_an_answer_that_cannot_be_read(column: str) -> None:
    lines = [line.replace(f",{column},", ",other,", 1) for line in RECORDED]
    with pytest.raises(FactProcessError, match=r"^HAProxy's answer can't be read: "):
        Router().process(lines)


def test_a_row_that_ends_early() -> None:
    lines = ["database,three" if line.startswith("database,three,") else line for line in RECORDED]
    assert Router().process(lines) == {"database": [], "redis": ["one"]}


def test_no_container(shell: Shell) -> None:
    shell.stub("docker", "echo 'No such container' >&2; exit 1")
    lines = shell.lines(Router().command(container=CONTAINER))
    assert Router().process(lines) is None
    assert shell.calls[0].startswith(f"docker exec {CONTAINER} ")
