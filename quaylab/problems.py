"""Problems with the user's input, collected so that all of them are reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Refusal(Exception):
    """Why a run stops before any change: one line per problem, with the setting and a remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{head}, nothing was changed:\n{lines}")


class Problems(list[str]):
    """Problems in the order in which they are found; ``collecting`` adds those of a refusal."""

    @contextmanager
    def collecting(self) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self += refusal.problems


def refuse(problems: Iterable[str]) -> None:
    """Raise :class:`Refusal` if there is any problem."""
    found = list(problems)
    if found:
        raise Refusal(found)
