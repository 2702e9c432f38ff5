"""What others than the owners of its name space may do with a repository."""

from sqlalchemy import Connection, text

from standin import database
from standin.account import Account
from standin.accounts import Accounts
from standin.repositories import Repository

ROLES = ("read", "write", "admin")
# In the order in which Quay's tokens name them.
ACTIONS = {"read": ("pull",), "write": ("push", "pull"), "admin": ("push", "pull", "*")}


def role_of(
    connection: Connection,
    accounts: Accounts,
    account: Account | None,
    namespace: str,
    repository: Repository | None,
) -> str | None:
    """The account's role in a repository, which need not be there if the name space is theirs."""
    if accounts.owns(connection, account, namespace):
        return "admin"
    if repository is None:
        return None
    given = granted(connection, repository, account.name) if account else None
    return given or ("read" if repository.is_public else None)


def covers(role: str | None, wanted: str) -> bool:
    """Whether who has the one role may do what the other may."""
    return role is not None and ROLES.index(role) >= ROLES.index(wanted)


def granted(connection: Connection, repository: Repository, name: str) -> str | None:
    """The role that somebody was given in a repository."""
    role = connection.execute(
        text("SELECT role FROM permission WHERE repository = :repository AND account = :name"),
        {"repository": repository.id, "name": name},
    ).scalar()
    return None if role is None else str(role)


def grant(connection: Connection, repository: Repository, name: str, role: str) -> None:
    """Give somebody a role in a repository."""
    key = {"repository": repository.id, "account": name}
    database.save(connection, "permission", key, {"role": role})


def revoke(connection: Connection, repository: Repository, name: str) -> bool:
    """Take somebody's role in a repository; false if there was none."""
    deleted = connection.execute(
        text("DELETE FROM permission WHERE repository = :repository AND account = :name"),
        {"repository": repository.id, "name": name},
    )
    return deleted.rowcount > 0
