"""Passwords and keys made up: letters and digits, which need no quoting anywhere."""

from __future__ import annotations

import string
from random import Random, SystemRandom

# The system's own source, which can't be foretold.
SYSTEM: Random = SystemRandom()


def password(random: Random) -> str:
    return _text(random, string.ascii_letters + string.digits, 32)


def encryption_key(random: Random) -> str:
    """48 hexadecimal digits; Quay takes at most 63 characters."""
    return _text(random, "0123456789abcdef", 48)


def access_key(random: Random) -> str:
    """In the form of S3's."""
    return _text(random, string.ascii_uppercase + string.digits, 20)


def secret_key(random: Random) -> str:
    """In the form of S3's."""
    return _text(random, string.ascii_letters + string.digits, 40)


def identity(random: Random) -> str:
    """What tells a registry from others; it is public."""
    return _text(random, "0123456789abcdef", 16)


def _text(random: Random, alphabet: str, length: int) -> str:
    return "".join(random.choice(alphabet) for _ in range(length))
