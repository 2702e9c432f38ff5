"""Users' passwords, and Quay's protection against guessing them."""

import re
import time

import bcrypt
from sqlalchemy import Connection, text

WRONG = "Invalid Username or Password"
DISABLED = "This user has been disabled. Please contact your administrator."
TOO_MANY = "Too many login attempts. \nPlease reset your Quay password and try again."


class LoginError(Exception):
    """Why a login is refused, in Quay's words."""


class TooManyLogins(LoginError):
    """Too many wrong passwords: even the right one is refused, for that many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(TOO_MANY)
        self.seconds = seconds


class InvalidPassword(Exception):
    """A password against Quay's rules."""


def check(password: str) -> None:
    """Check Quay's rules for passwords.

    Raises:
        InvalidPassword: it breaks the rule.
    """
    if len(password) < 8 or re.search(r"\s", password):
        raise InvalidPassword(
            "Invalid password, password must be at least 8 characters and contain no whitespace."
        )


def hashed(password: str) -> str:
    """Return the password's hash for the database."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=10)).decode()


def check_login(connection: Connection, name: str, password: str) -> LoginError | None:
    """Return why a user can't log in; None if they can. Count a wrong password."""
    row = connection.execute(
        text(
            "SELECT password_hash, is_enabled, failed_logins, last_failure FROM account"
            " WHERE name = :name"
        ),
        {"name": name},
    ).one()
    wait = row.last_failure + _delay(row.failed_logins) - time.time()
    if row.failed_logins and wait > 0:
        return TooManyLogins(wait)
    if not bcrypt.checkpw(password.encode(), row.password_hash.encode()):
        connection.execute(
            text(
                "UPDATE account SET failed_logins = failed_logins + 1, last_failure = :now"
                " WHERE name = :name"
            ),
            {"now": time.time(), "name": name},
        )
        return LoginError(WRONG)
    if row.failed_logins:
        connection.execute(
            text("UPDATE account SET failed_logins = 0 WHERE name = :name"), {"name": name}
        )
    return None if row.is_enabled else LoginError(DISABLED)


def _delay(failures: int) -> float:
    """Return the seconds for which a user is locked out after so many wrong passwords."""
    return 0.5 * float(2**failures - 1)
