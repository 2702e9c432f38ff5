"""Users and organisations, and their credentials."""

import hashlib
import re
import secrets
import time
import uuid
from typing import Any

import cryptography.fernet
from sqlalchemy import Connection, Engine, text

from standin import database, passwords
from standin.account import Account, AccountError, select
from standin.config import Settings
from standin.passwords import LoginError
from standin.robots import Robots

NAME = re.compile(r"([a-z0-9]+(?:[._-][a-z0-9]+)*)")
NAME_PATTERN = f"^{NAME.pattern}$"
ACCESS_TOKEN_SECONDS = 9000
TOKEN_USER = "$oauthtoken"


class Accounts:
    """The accounts in the database, with the keys for their secrets."""

    def __init__(self, settings: Settings) -> None:
        self.robots = Robots(settings)
        self._encrypted_passwords = settings.cipher("passwords")

    def find(self, connection: Connection, name: str) -> Account | None:
        """Return the account with that name."""
        found = select(connection, "name = :value", name)
        return found[0] if found else None

    def users(self, connection: Connection) -> list[Account]:
        """Return all users, by name."""
        return select(connection, "kind = 'user'", "")

    def any(self, connection: Connection) -> bool:
        """Return whether there is any account."""
        return connection.execute(text("SELECT 1 FROM account LIMIT 1")).first() is not None

    def create_user(
        self, connection: Connection, name: str, password: str, email: str | None
    ) -> Account:
        """Create a user. As in Quay, a missing mail address is replaced by a random text."""
        passwords.check(password)
        email = email or str(uuid.uuid4())
        if connection.execute(
            text("SELECT 1 FROM account WHERE email = :email"), {"email": email}
        ).first():
            raise AccountError(
                'duplicate key value violates unique constraint "user_email_unique_non_org"\n'
                f"DETAIL:  Key (email)=({email}) already exists.\n"
            )
        if not self._create(
            connection, name, "user", email=email, password_hash=passwords.hashed(password)
        ):
            raise AccountError(f"Username has already been taken by user cannot be reused: {name}")
        return Account(name, "user", email, int(time.time()))

    def change_password(self, connection: Connection, account: Account, password: str) -> None:
        """Change a user's password."""
        passwords.check(password)
        connection.execute(
            text("UPDATE account SET password_hash = :hash, failed_logins = 0 WHERE name = :name"),
            {"hash": passwords.hashed(password), "name": account.name},
        )

    def enable(self, connection: Connection, account: Account, *, enabled: bool) -> None:
        """Enable or disable a user."""
        connection.execute(
            text("UPDATE account SET is_enabled = :enabled WHERE name = :name"),
            {"enabled": enabled, "name": account.name},
        )

    def create_organization(
        self, connection: Connection, name: str, email: str | None, owner: Account
    ) -> None:
        """Create an organisation with that account as its owner."""
        if not self._create(connection, name, "organization", contact=email):
            raise AccountError("A user or organization with this name already exists")
        database.insert(connection, "membership", {"organization": name, "account": owner.name})

    def delete(self, connection: Connection, account: Account) -> None:
        """Delete an account with its robots and repositories."""
        names = [robot.name for robot in self.robots.of(connection, account.name)]
        for name in [*names, account.name]:
            for statement in (
                "DELETE FROM repository WHERE namespace = :name",
                "DELETE FROM permission WHERE account = :name",
                "DELETE FROM accesstoken WHERE account = :name",
                "DELETE FROM membership WHERE account = :name OR organization = :name",
                "DELETE FROM account WHERE name = :name",
            ):
                connection.execute(text(statement), {"name": name})

    def _create(self, connection: Connection, name: str, kind: str, **more: Any) -> bool:
        if not NAME.fullmatch(name):
            raise AccountError(
                f"Invalid namespace {name}: Namespace must match expression {NAME_PATTERN}"
            )
        row = {"name": name, "kind": kind, "created": int(time.time()), **more}
        return database.insert(connection, "account", row)

    def verify(self, engine: Engine, name: str, password: str) -> Account:
        """Return the account for a name and password, encrypted password, robot's or API's token.

        Raises:
            LoginError: nobody's. What counts wrong passwords is written before.
        """
        with engine.begin() as connection:
            found = self._prove(connection, name, password)
        if isinstance(found, LoginError):
            raise found
        return found

    def _prove(self, connection: Connection, name: str, password: str) -> Account | LoginError:
        if name == TOKEN_USER:
            return self.by_access_token(connection, password) or LoginError(passwords.WRONG)
        if "+" in name:
            return self.robots.prove(connection, name, password)
        found = select(connection, "kind = 'user' AND (name = :value OR email = :value)", name)
        if not found:
            return LoginError(passwords.WRONG)
        refusal = passwords.check_login(connection, found[0].name, self._open_password(password))
        return refusal or found[0]

    def encrypt_password(self, password: str) -> str:
        """Return the encrypted password, which is safe in docker's configuration file."""
        return self._encrypted_passwords.encrypt(password.encode()).decode()

    def _open_password(self, password: str) -> str:
        try:
            return self._encrypted_passwords.decrypt(password).decode()
        except cryptography.fernet.InvalidToken:
            return password

    def create_access_token(self, connection: Connection, account: Account) -> str:
        """Return a new bearer token for the API."""
        token = secrets.token_urlsafe(30)
        row = {
            "digest": _digest(token),
            "account": account.name,
            "expires": int(time.time()) + ACCESS_TOKEN_SECONDS,
        }
        database.insert(connection, "accesstoken", row)
        return token

    def by_access_token(self, connection: Connection, token: str) -> Account | None:
        """Return the account of a bearer token, if the token is still valid."""
        name = connection.execute(
            text("SELECT account FROM accesstoken WHERE digest = :digest AND expires > :now"),
            {"digest": _digest(token), "now": int(time.time())},
        ).scalar()
        return self.find(connection, name) if name else None

    def organizations(self, connection: Connection, account: Account) -> list[str]:
        """Return the organisations that the account owns."""
        rows = connection.execute(
            text("SELECT organization FROM membership WHERE account = :name ORDER BY organization"),
            {"name": account.name},
        )
        return list(rows.scalars())

    def owns(self, connection: Connection, account: Account | None, namespace: str) -> bool:
        """Return whether the namespace is the account's own or one of its organisations."""
        if account is None or account.kind != "user":
            return False
        return namespace in (account.name, *self.organizations(connection, account))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
