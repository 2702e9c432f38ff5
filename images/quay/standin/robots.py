"""Robots: accounts for programs, each with a token of its own."""

import secrets
import time

import cryptography.fernet
from sqlalchemy import Connection, text

from standin import database
from standin.account import Account, AccountError, select
from standin.config import Settings
from standin.passwords import LoginError


class Robots:
    """The robots in the database, with the key that their tokens need."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = settings.cipher("robots", "DATABASE_SECRET_KEY")

    def of(self, connection: Connection, owner: str) -> list[Account]:
        """The robots of an organisation or user, by name."""
        return select(connection, "kind = 'robot' AND name LIKE :value", f"{owner}+%")

    def create(self, connection: Connection, name: str, description: str) -> str:
        """Make a robot; give its token."""
        token, sealed = self._new_token()
        row = {
            "name": name,
            "kind": "robot",
            "robot_token": sealed,
            "created": int(time.time()),
            "description": description,
        }
        if not database.insert(connection, "account", row):
            raise AccountError(f"Existing robot with name: {name}")
        return token

    def renew(self, connection: Connection, name: str) -> str:
        """Give a robot another token."""
        token, sealed = self._new_token()
        connection.execute(
            text("UPDATE account SET robot_token = :sealed WHERE name = :name"),
            {"sealed": sealed, "name": name},
        )
        return token

    def token(self, connection: Connection, name: str) -> str:
        """A robot's token."""
        sealed = connection.execute(
            text("SELECT robot_token FROM account WHERE name = :name"), {"name": name}
        ).scalar_one()
        try:
            return self._tokens.decrypt(sealed).decode()
        except cryptography.fernet.InvalidToken:
            # Another DATABASE_SECRET_KEY: as in Quay, the token is lost.
            return secrets.token_urlsafe()

    def prove(self, connection: Connection, name: str, token: str) -> Account | LoginError:
        """The robot whose token that is, or why it is nobody's."""
        found = select(connection, "kind = 'robot' AND name = :value", name)
        if not found:
            return LoginError("Could not find robot with specified username")
        if not secrets.compare_digest(self.token(connection, name), token):
            return LoginError(f"Could not find robot with username: {name} and supplied password.")
        return found[0]

    def _new_token(self) -> tuple[str, str]:
        token = secrets.token_urlsafe(48)
        return token, self._tokens.encrypt(token.encode()).decode()
