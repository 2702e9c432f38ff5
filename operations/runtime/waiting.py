"""Waiting for something that a run can only ask for again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait(
    ask: Callable[[], T],
    seconds: float,
    *,
    until: Callable[[T], bool] = bool,
    pause: float = 0.5,
) -> T:
    """Ask until the answer is as wanted, or the time is over; return the last answer.

    + seconds: for how long; the last question comes at most a pause later
    + until: whether an answer is as wanted
    + pause: seconds between two questions
    """
    end = time.monotonic() + seconds
    while not until(answer := ask()) and time.monotonic() <= end:
        time.sleep(pause)
    return answer
