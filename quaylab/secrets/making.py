"""Random passwords and keys, of letters and digits, which need no quoting anywhere."""

from __future__ import annotations

import secrets
import string


def password() -> str:
    return _text(string.ascii_letters + string.digits, 32)


def encryption_key() -> str:
    """Return 48 hexadecimal digits; Quay takes at most 63 characters."""
    return _text("0123456789abcdef", 48)


def access_key() -> str:
    """Return a key in the form of S3's access keys."""
    return _text(string.ascii_uppercase + string.digits, 20)


def secret_key() -> str:
    """Return a key in the form of S3's secret keys."""
    return _text(string.ascii_letters + string.digits, 40)


def identity() -> str:
    """Return a public text that identifies a registry."""
    return _text("0123456789abcdef", 16)


def _text(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
