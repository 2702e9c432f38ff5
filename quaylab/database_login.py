"""Who connects to Quay's database server, and what an administrator does there."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr


@dataclass(frozen=True)
class Login:
    """Who connects to which database; None with MySQL: to none."""

    user: str
    password: SecretStr
    database: str | None


@dataclass(frozen=True)
class Step:
    """One statement with its ``purpose`` in words, and the database in which it runs (MySQL: none).

    ``takes_over`` is whether somebody who logs in now can't any more.
    """

    purpose: str
    database: str | None
    statement: str = field(repr=False)
    takes_over: bool = False
