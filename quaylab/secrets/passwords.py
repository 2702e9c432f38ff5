"""Which passwords and keys the services take, for what the environment or a terminal gives."""

from __future__ import annotations

import string
from collections.abc import Collection

ASCII = frozenset(string.ascii_letters + string.digits + string.punctuation)
# What sclorg's images of PostgreSQL, MySQL and Redis let through, of signs.
SIGNS = "~!@#$%^&*()_+-=<>,.?;:|/"
CONTAINERS = frozenset(string.ascii_letters + string.digits + SIGNS)
# bcrypt, by which Quay keeps passwords, looks at no more bytes.
BCRYPT_LONGEST = 72
# The shortest of the services' own limits, which is MySQL's.
LONGEST = 256


def problem(key: str, value: str, elsewhere: Collection[str] = ()) -> str | None:
    """Why a value can't be that credential, or None; the value itself isn't told.

    Args:
        key: the field of :class:`quaylab.secrets.credentials.Credentials`.
        elsewhere: the keys whose services run elsewhere, and which others made.
    """
    in_container = key in ("database_password", "redis_password") and key not in elsewhere
    characters = CONTAINERS if in_container else ASCII
    # An object store's are made by others, and may be short.
    shortest = 1 if key.startswith("storage_") else 8
    longest = BCRYPT_LONGEST if key == "superuser_password" else LONGEST
    if shortest <= len(value) <= longest and characters.issuperset(value):
        return None
    signs = SIGNS if in_container else "ASCII's signs"
    return (
        f"must be {shortest} to {longest} characters: letters and digits without accents, and "
        f"{signs}; no white space"
    )


def quay_takes(password: str) -> bool:
    """Whether a password can be the one that Quay has: others end in an error of its own. Longer
    ones than are asked for now can, as it looks at their beginning only."""
    return len(password) >= 8 and ASCII.issuperset(password)
