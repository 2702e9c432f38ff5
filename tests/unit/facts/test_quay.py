"""The fact about Quay, from a real node's answer."""

from __future__ import annotations

import pytest

from facts.quay import Quay, QuayState
from tests.unit.shell import Shell

ANSWER = (
    '{"data":{"services":{"auth":true,"database":true,"disk_space":true,'
    '"registry_gunicorn":true,"service_key":true,"web_gunicorn":true}},"status_code":200}'
)


def test_healthy() -> None:
    state = Quay().process(["v3.18.0", ANSWER])
    assert state
    assert state.version == "v3.18.0"
    assert state.healthy


def test_a_failing_service() -> None:
    state = Quay().process(["v3.18.0", ANSWER.replace('"database":true', '"database":false')])
    assert state
    assert not state.healthy
    assert not state.services["database"]


@pytest.mark.parametrize(
    "answer", [[], ["<html>", "502 Bad Gateway", "</html>"], ["[]"], ['{"data": null}']]
)
def test_a_node_that_does_not_answer_is_not_healthy(answer: list[str]) -> None:
    """While it starts, its nginx answers with a page."""
    state = Quay().process(["v3.18.0", *answer])
    assert state == QuayState("v3.18.0", {})
    assert not state.healthy


def test_no_container(shell: Shell) -> None:
    shell.stub("docker", "echo; exit 1")
    assert Quay().process(shell.lines(Quay().command(container="quaylab-quay"))) is None


def test_container(shell: Shell) -> None:
    shell.stub("docker", f"case $1 in inspect) echo v3.18.0 ;; exec) echo '{ANSWER}' ;; esac")
    state = Quay().process(shell.lines(Quay().command(container="quaylab-quay")))
    assert state and state.healthy
