"""Interrupts: a run that has lost one ends before its next operation."""

from __future__ import annotations

import signal

import pytest
from pyinfra.api import State

from operations.runtime.interrupts import Interrupts


@pytest.fixture(autouse=True)
def nothing_received(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interrupts, "received", False)


def test_an_operation_starts_if_nothing_was_received() -> None:
    Interrupts.operation_start(State(), "hash")


def test_a_lost_interrupt_ends_the_run_before_the_next_operation() -> None:
    """As one that arrived in a greenlet or a destructor, where Python drops the exit."""
    with pytest.raises(SystemExit) as lost:
        Interrupts.handle(signal.SIGINT, None)
    assert lost.value.code == 130
    with pytest.raises(SystemExit) as ended:
        Interrupts.operation_start(State(), "hash")
    assert ended.value.code == 130


def test_the_notice_is_printed_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with pytest.raises(SystemExit):
            Interrupts.handle(signal.SIGINT, None)
    notices = [each.getMessage() for each in caplog.records]
    assert notices == ["Interrupted: the next run finishes what this one began"]
