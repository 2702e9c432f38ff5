"""Random passwords and keys, of letters and digits, which need no quoting anywhere."""

from __future__ import annotations

import string
from random import Random, SystemRandom

# The operating system's source of random numbers, which can't be predicted.
SYSTEM: Random = SystemRandom()


def password(random: Random) -> str:
    return _text(random, string.ascii_letters + string.digits, 32)


def encryption_key(random: Random) -> str:
    """Return 48 hexadecimal digits; Quay takes at most 63 characters."""
    return _text(random, "0123456789abcdef", 48)


def access_key(random: Random) -> str:
    """Return a key in the form of S3's access keys."""
    return _text(random, string.ascii_uppercase + string.digits, 20)


def secret_key(random: Random) -> str:
    """Return a key in the form of S3's secret keys."""
    return _text(random, string.ascii_letters + string.digits, 40)


def identity(random: Random) -> str:
    """Return a public text that identifies a registry."""
    return _text(random, "0123456789abcdef", 16)


def _text(random: Random, alphabet: str, length: int) -> str:
    return "".join(random.choice(alphabet) for _ in range(length))
