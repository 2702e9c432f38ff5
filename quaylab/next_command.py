"""The next command to suggest to the user, made from the one that is running."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

# pyinfra's options whose value is a secret, and what stands in its place.
SECRET_OPTIONS = ("--ssh-password", "--password", "--ssh-key-password", "--key-password")
SECRET = "PASSWORD"


def next_command(arguments: Sequence[str], deploy: str, **data: str) -> str:
    """Return a pyinfra command with another deploy file, and ``data`` added or replaced.

    Everything else (the inventory, ``--sudo``, further ``--data``) stays as it was given, but for
    passwords: the command is printed, and a part of others.
    """
    words = []
    remaining = iter(arguments)
    for word in remaining:
        option, has_value, value = word.partition("=")
        if option in SECRET_OPTIONS:
            if not has_value:
                next(remaining, "")
            words += [option, SECRET]
        elif option == "--data":
            key, _, given = (value if has_value else next(remaining, "")).partition("=")
            if key not in data:
                words += [option, f"{key}={SECRET if key.endswith('password') else given}"]
        else:
            words.append(word)
    files = [index for index, word in enumerate(words) if word.endswith(".py")]
    if files:
        words[files[-1]] = deploy
    options = [word for key, value in data.items() for word in ("--data", f"{key}={value}")]
    return shlex.join(["pyinfra", *words, *options])
