"""Problems with what the user gave, collected so that all are told at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Refusal(Exception):
    """Why nothing was done: one line per problem, each naming a setting and its remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        super().__init__(f"{head}, nothing was changed:\n{lines}")


class Problems(list[str]):
    """Problems as they are found; those of a refusal are taken as well."""

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
