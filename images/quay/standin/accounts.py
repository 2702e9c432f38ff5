"""Users, organisations, robots, and what they prove themselves by."""

import base64
import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

import bcrypt
import cryptography.fernet
from sqlalchemy import Connection, text

from standin import database
from standin.config import Settings

NAME = re.compile(r"([a-z0-9]+(?:[._-][a-z0-9]+)*)")
NAME_PATTERN = f"^{NAME.pattern}$"
ACCESS_TOKEN_SECONDS = 9000
LOGIN_MESSAGE = "Invalid Username or Password"


class AccountError(Exception):
    """Why an account cannot be made, in Quay's words."""


@dataclass(frozen=True)
class Account:
    """A user, an organisation or a robot."""

    name: str
    kind: str
    email: str | None
    created: int


class Accounts:
    """The accounts in the database, with the keys that their secrets need."""

    def __init__(self, settings: Settings) -> None:
        self._robot_tokens = _fernet(settings.derived_key("robots", "DATABASE_SECRET_KEY"))
        self._encrypted_passwords = _fernet(settings.derived_key("passwords"))

    def find(self, connection: Connection, name: str) -> Account | None:
        """The account of that name."""
        row = connection.execute(
            text("SELECT name, kind, email, created FROM account WHERE name = :name"),
            {"name": name},
        ).first()
        return Account(*row) if row else None

    def users(self, connection: Connection) -> list[Account]:
        """All users, by name."""
        rows = connection.execute(
            text("SELECT name, kind, email, created FROM account WHERE kind = 'user' ORDER BY name")
        )
        return [Account(*row) for row in rows]

    def any(self, connection: Connection) -> bool:
        """Whether there is any account."""
        return connection.execute(text("SELECT 1 FROM account LIMIT 1")).first() is not None

    def create_user(
        self, connection: Connection, name: str, password: str, email: str | None
    ) -> Account:
        """Make a user."""
        check_password(password)
        if not self._create(connection, name, "user", email, password_hash=_hash(password)):
            raise AccountError("The username already exists")
        return Account(name, "user", email, int(time.time()))

    def change_password(self, connection: Connection, account: Account, password: str) -> None:
        """Give a user another password."""
        check_password(password)
        connection.execute(
            text("UPDATE account SET password_hash = :hash WHERE name = :name"),
            {"hash": _hash(password), "name": account.name},
        )

    def create_organization(
        self, connection: Connection, name: str, email: str | None, owner: Account
    ) -> None:
        """Make an organisation of which that account is the owner."""
        if not self._create(connection, name, "organization", email):
            raise AccountError("A user or organization with this name already exists")
        database.insert(connection, "membership", {"organization": name, "account": owner.name})

    def create_robot(self, connection: Connection, name: str) -> str:
        """Make a robot; give its token."""
        token = secrets.token_urlsafe(48)
        sealed = self._robot_tokens.encrypt(token.encode()).decode()
        row = {"name": name, "kind": "robot", "robot_token": sealed, "created": int(time.time())}
        if not database.insert(connection, "account", row):
            raise AccountError(f"Existing robot with name: {name}")
        return token

    def _create(
        self, connection: Connection, name: str, kind: str, email: str | None, **more: Any
    ) -> bool:
        if not NAME.fullmatch(name):
            raise AccountError(
                f"Invalid namespace {name}: Namespace must match expression {NAME_PATTERN}"
            )
        row = {"name": name, "kind": kind, "email": email, "created": int(time.time()), **more}
        return database.insert(connection, "account", row)

    def verify(self, connection: Connection, name: str, password: str) -> Account | None:
        """The account whose name and password, encrypted password or robot token these are."""
        row = connection.execute(
            text(
                "SELECT name, kind, email, created, password_hash, robot_token FROM account"
                " WHERE name = :name OR (kind = 'user' AND email = :name)"
            ),
            {"name": name},
        ).first()
        if row is None:
            return None
        if row.kind == "robot":
            proven = secrets.compare_digest(self._open_robot_token(row.robot_token), password)
        else:
            proven = row.kind == "user" and bcrypt.checkpw(
                self._open_password(password).encode(), row.password_hash.encode()
            )
        return Account(row.name, row.kind, row.email, row.created) if proven else None

    def encrypt_password(self, password: str) -> str:
        """A form of the password that docker's configuration file may hold."""
        return self._encrypted_passwords.encrypt(password.encode()).decode()

    def _open_password(self, password: str) -> str:
        try:
            return self._encrypted_passwords.decrypt(password).decode()
        except cryptography.fernet.InvalidToken:
            return password

    def _open_robot_token(self, sealed: str) -> str:
        try:
            return self._robot_tokens.decrypt(sealed).decode()
        except cryptography.fernet.InvalidToken:
            # Another DATABASE_SECRET_KEY: as in Quay, the token is lost.
            return secrets.token_urlsafe()

    def create_access_token(self, connection: Connection, account: Account) -> str:
        """A bearer token for the API."""
        token = secrets.token_urlsafe(30)
        row = {
            "digest": _digest(token),
            "account": account.name,
            "expires": int(time.time()) + ACCESS_TOKEN_SECONDS,
        }
        database.insert(connection, "accesstoken", row)
        return token

    def by_access_token(self, connection: Connection, token: str) -> Account | None:
        """Whose bearer token that is, if it still holds."""
        name = connection.execute(
            text("SELECT account FROM accesstoken WHERE digest = :digest AND expires > :now"),
            {"digest": _digest(token), "now": int(time.time())},
        ).scalar()
        return self.find(connection, name) if name else None

    def organizations(self, connection: Connection, account: Account) -> list[str]:
        """The organisations that the account owns."""
        rows = connection.execute(
            text("SELECT organization FROM membership WHERE account = :name ORDER BY organization"),
            {"name": account.name},
        )
        return list(rows.scalars())

    def owns(self, connection: Connection, account: Account | None, namespace: str) -> bool:
        """Whether the namespace is the account's own or one of its organisations."""
        if account is None or account.kind != "user":
            return False
        return namespace in (account.name, *self.organizations(connection, account))


def check_password(password: str) -> None:
    """Quay's rule for passwords."""
    if len(password) < 8 or re.search(r"\s", password):
        raise AccountError(
            "Invalid password, password must be at least 8 characters and contain no whitespace."
        )


def _hash(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=10)).decode()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _fernet(key: bytes) -> cryptography.fernet.Fernet:
    return cryptography.fernet.Fernet(base64.urlsafe_b64encode(key))
