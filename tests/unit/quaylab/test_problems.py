"""Problems are collected, and reported at once."""

from __future__ import annotations

import pytest

from quaylab.problems import Refusal, refuse


def test_no_problem_is_no_refusal() -> None:
    refuse([])


@pytest.mark.parametrize(
    ("problems", "text"),
    [
        (["a: wrong"], "1 problem, nothing was changed:\n  - a: wrong"),
        (["a: x", "b: y", "a: x"], "2 problems, nothing was changed:\n  - a: x\n  - b: y"),
    ],
    ids=["one", "each once"],
)
def test_refusal_lists_each_problem(problems: list[str], text: str) -> None:
    with pytest.raises(Refusal) as refused:
        refuse(problems)
    assert str(refused.value) == text
