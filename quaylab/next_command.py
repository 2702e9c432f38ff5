"""The command that the user gave, turned into the one to give next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def next_command(arguments: Sequence[str], deploy: str, **data: str) -> str:
    """pyinfra's arguments with another deploy file, and other data in place of its own.

    All else (the inventory, ``--sudo``, further ``--data``) stays as it was given.
    """
    words = []
    taken = iter(arguments)
    for word in taken:
        if word == "--data":
            pair = next(taken, "")
            if pair.partition("=")[0] not in data:
                words += [word, pair]
        else:
            words.append(word)
    files = [index for index, word in enumerate(words) if word.endswith(".py")]
    if files:
        words[files[-1]] = deploy
    given = [word for key, value in data.items() for word in ("--data", f"{key}={value}")]
    return shlex.join(["pyinfra", *words, *given])
