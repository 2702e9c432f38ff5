"""One account: a user, an organisation or a robot."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

COLUMNS = "name, kind, email, created, contact, description, is_enabled"


class AccountError(Exception):
    """Why an account cannot be made, in Quay's words."""


@dataclass(frozen=True)
class Account:
    """A user, an organisation or a robot. ``contact`` is an organisation's mail address."""

    name: str
    kind: str
    email: str | None
    created: int
    contact: str | None = None
    description: str | None = None
    is_enabled: bool = True


def select(connection: Connection, condition: str, value: str = "") -> list[Account]:
    """Return the accounts that fulfil a condition, by name."""
    rows = connection.execute(
        text(f"SELECT {COLUMNS} FROM account WHERE {condition} ORDER BY name"), {"value": value}
    )
    return [Account(*row) for row in rows]
