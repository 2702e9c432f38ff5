"""Lines of a report, each of which begins with a word that says what it tells."""

from __future__ import annotations

from collections.abc import Iterable


def split_first(line: str) -> tuple[str, str]:
    """Return the first word of a line, and the rest."""
    first, _, rest = line.partition(" ")
    return first, rest


def by_first_word(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines without their first words, by these, in the order of the report."""
    found: dict[str, list[str]] = {}
    for first, rest in map(split_first, lines):
        found.setdefault(first, []).append(rest)
    return found
