"""Logins at Quay's database server, and the statements that an administrator runs there."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr


@dataclass(frozen=True)
class Login:
    """A user, the password, and the database to connect to (with MySQL maybe None)."""

    user: str
    password: SecretStr
    database: str | None


@dataclass(frozen=True)
class Step:
    """One statement with its ``purpose`` in words, and the database to run it in (MySQL: None).

    A step that ``takes_over`` a role changes its password: the old one no longer works.
    """

    purpose: str
    database: str | None
    statement: str = field(repr=False)
    takes_over: bool = False
