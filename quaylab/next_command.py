"""The next command to suggest to the user, made from the one that is running."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def next_command(arguments: Sequence[str], deploy: str, **data: str) -> str:
    """Return a pyinfra command with another deploy file, and ``data`` added or replaced.

    Everything else (the inventory, ``--sudo``, further ``--data``) stays as it was given.
    """
    words = []
    remaining = iter(arguments)
    for word in remaining:
        if word == "--data":
            pair = next(remaining, "")
            if pair.partition("=")[0] not in data:
                words += [word, pair]
        else:
            words.append(word)
    files = [index for index, word in enumerate(words) if word.endswith(".py")]
    if files:
        words[files[-1]] = deploy
    options = [word for key, value in data.items() for word in ("--data", f"{key}={value}")]
    return shlex.join(["pyinfra", *words, *options])
