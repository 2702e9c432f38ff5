"""Waiting: at least one question, and the last answer."""

from __future__ import annotations

from operator import not_
from types import SimpleNamespace

import pytest

from operations.runtime import waiting


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(pauses), sleep=pauses.append)
    monkeypatch.setattr(waiting, "time", clock)
    return pauses


def test_a_good_answer_is_returned_at_once(slept: list[float]) -> None:
    assert waiting.wait(lambda: "there", 10) == "there"
    assert slept == []


def test_it_is_asked_again_until_the_answer_is_as_wanted(slept: list[float]) -> None:
    reasons = iter(["starting", "starting", None])
    assert waiting.wait(lambda: next(reasons), 10, until=not_, pause=2) is None
    assert slept == [2, 2]


def test_the_last_answer_when_the_time_is_over(slept: list[float]) -> None:
    assert waiting.wait(lambda: len(slept), 3, until=lambda count: count > 9, pause=1) == 4
    assert slept == [1] * 4


def test_it_is_asked_once_even_without_time(slept: list[float]) -> None:
    assert waiting.wait(lambda: True, 0)
