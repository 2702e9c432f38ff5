"""Which balancers hold new connections, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pyinfra.api import StringCommand

from operations.services import balancers, connection_hold
from operations.services.connection_hold import new_connections_held
from quaylab.plan import Plan


@dataclass(eq=False)
class Recorder:
    """A host that notes the commands that it is to run."""

    name: str
    log: list[str]

    def run_shell_command(self, command: StringCommand, **_: Any) -> tuple[bool, None]:
        text = command.get_raw_value()
        kinds = {"--insert": "begin", "established": "wait", "--delete": "end"}
        self.log.append(f"{next(kinds[each] for each in kinds if each in text)} {self.name}")
        return True, None


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log: list[str] = []
    hosts = [Recorder(name, log) for name in ("lb1", "lb2")]
    monkeypatch.setattr(balancers, "connected", lambda plan: hosts)
    monkeypatch.setattr(connection_hold, "inventory_arguments", lambda host: {})
    return log


def test_all_balancers_hold_before_any_waits(log: list[str], lab: Plan) -> None:
    with new_connections_held(lab):
        log.append("block")
    each = [f"{word} {name}" for word in ("begin", "wait", "end") for name in ("lb1", "lb2")]
    assert log == [*each[:4], "block", *each[4:]]


def test_a_failure_ends_the_hold(log: list[str], lab: Plan) -> None:
    with pytest.raises(OSError, match="lost"), new_connections_held(lab):
        raise OSError("lost")
    assert log[-2:] == ["end lb1", "end lb2"]
