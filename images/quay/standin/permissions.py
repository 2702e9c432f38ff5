"""The rights in a repository of accounts that don't own its namespace."""

from sqlalchemy import Connection, text

from standin import database
from standin.account import Account
from standin.accounts import Accounts
from standin.repositories import Repository

ROLES = ("read", "write", "admin")
# In the order of Quay's tokens.
ACTIONS = {"read": ("pull",), "write": ("push", "pull"), "admin": ("push", "pull", "*")}


def role_of(
    connection: Connection,
    accounts: Accounts,
    account: Account | None,
    namespace: str,
    repository: Repository | None,
) -> str | None:
    """Return the account's role in a repository; in its own namespace the repository may be new."""
    if accounts.owns(connection, account, namespace):
        return "admin"
    if repository is None:
        return None
    given = granted(connection, repository, account.name) if account else None
    return given or ("read" if repository.is_public else None)


def covers(role: str | None, wanted: str) -> bool:
    """Return whether the first role includes the second."""
    return role is not None and ROLES.index(role) >= ROLES.index(wanted)


def granted(connection: Connection, repository: Repository, name: str) -> str | None:
    """Return the role that an account was given in a repository."""
    role = connection.execute(
        text("SELECT role FROM permission WHERE repository = :repository AND account = :name"),
        {"repository": repository.id, "name": name},
    ).scalar()
    return None if role is None else str(role)


def grant(connection: Connection, repository: Repository, name: str, role: str) -> None:
    """Give an account a role in a repository."""
    key = {"repository": repository.id, "account": name}
    database.save(connection, "permission", key, {"role": role})


def revoke(connection: Connection, repository: Repository, name: str) -> bool:
    """Remove an account's role in a repository; return False if there was none."""
    deleted = connection.execute(
        text("DELETE FROM permission WHERE repository = :repository AND account = :name"),
        {"repository": repository.id, "name": name},
    )
    return deleted.rowcount > 0
