"""Robots: accounts for programs, each with its own token."""

import secrets
import time

import cryptography.fernet
from sqlalchemy import Connection, text

from standin import database
from standin.account import Account, AccountError, select
from standin.config import Settings
from standin.passwords import LoginError


class Robots:
    """The robots in the database, with the key for their tokens."""

    def __init__(self, settings: Settings) -> None:
        self._tokens = settings.cipher("robots", "DATABASE_SECRET_KEY")

    def of(self, connection: Connection, owner: str) -> list[Account]:
        """Return the robots of an organisation or user, by name."""
        return select(connection, "kind = 'robot' AND name LIKE :value", f"{owner}+%")

    def create(self, connection: Connection, name: str, description: str) -> str:
        """Create a robot; return its token."""
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
        """Replace a robot's token; return the new one."""
        token, sealed = self._new_token()
        connection.execute(
            text("UPDATE account SET robot_token = :sealed WHERE name = :name"),
            {"sealed": sealed, "name": name},
        )
        return token

    def token(self, connection: Connection, name: str) -> str:
        """Return a robot's token."""
        sealed = connection.execute(
            text("SELECT robot_token FROM account WHERE name = :name"), {"name": name}
        ).scalar_one()
        try:
            return self._tokens.decrypt(sealed).decode()
        except cryptography.fernet.InvalidToken:
            # Another DATABASE_SECRET_KEY: as in Quay, the token is lost.
            return secrets.token_urlsafe()

    def prove(self, connection: Connection, name: str, token: str) -> Account | LoginError:
        """Return the robot with that name and token, or why the login is refused."""
        found = select(connection, "kind = 'robot' AND name = :value", name)
        if not found:
            return LoginError("Could not find robot with specified username")
        if not secrets.compare_digest(self.token(connection, name), token):
            return LoginError(f"Could not find robot with username: {name} and supplied password.")
        return found[0]

    def _new_token(self) -> tuple[str, str]:
        token = secrets.token_urlsafe(48)
        return token, self._tokens.encrypt(token.encode()).decode()
