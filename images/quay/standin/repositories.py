"""Repositories and the blobs that each has, in the database."""

import re
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from standin import database

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")
TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
LIBRARY = "library"


@dataclass(frozen=True)
class Repository:
    """A repository in a user's or an organisation's namespace."""

    id: str
    namespace: str
    name: str
    description: str
    is_public: bool

    @property
    def path(self) -> str:
        """As clients write it."""
        return f"{self.namespace}/{self.name}"


def split(path: str) -> tuple[str, str]:
    """Namespace and name of a repository's path."""
    namespace, slash, name = path.partition("/")
    return (namespace, name) if slash else (LIBRARY, path)


def find(connection: Connection, namespace: str, name: str) -> Repository | None:
    """The repository of that name."""
    row = connection.execute(
        text(
            "SELECT id, namespace, name, description, is_public FROM repository"
            " WHERE namespace = :namespace AND name = :name AND NOT is_deleted"
        ),
        {"namespace": namespace, "name": name},
    ).first()
    return Repository(*row) if row else None


def create(
    connection: Connection, namespace: str, name: str, description: str, *, is_public: bool
) -> bool:
    """Make a repository; false if it is there."""
    row = {
        "id": str(uuid.uuid4()),
        "namespace": namespace,
        "name": name,
        "description": description,
        "is_public": is_public,
    }
    return database.insert(connection, "repository", row)


def change(connection: Connection, repository: Repository, **values: Any) -> None:
    """Change a repository's description or visibility."""
    database.save(connection, "repository", {"id": repository.id}, values)


def delete(connection: Connection, repository: Repository) -> None:
    """Give a repository's name free. Who still knows its id finds what was in it, as in Quay."""
    change(connection, repository, name=str(uuid.uuid4()), is_deleted=True)


def in_namespace(connection: Connection, namespace: str) -> list[Repository]:
    """The repositories of a name space, by name; of all without one."""
    rows = connection.execute(
        text(
            "SELECT id, namespace, name, description, is_public FROM repository"
            " WHERE (namespace = :namespace OR :namespace = '') AND NOT is_deleted"
            " ORDER BY namespace, name"
        ),
        {"namespace": namespace},
    )
    return [Repository(*row) for row in rows]


def blob_size(connection: Connection, repository: Repository, digest: str) -> int | None:
    """The size of a blob that the repository has."""
    size = connection.execute(
        text("SELECT size FROM repositoryblob WHERE repository = :id AND digest = :digest"),
        {"id": repository.id, "digest": digest},
    ).scalar()
    return None if size is None else int(size)


def add_blob(connection: Connection, repository: Repository, digest: str, size: int) -> None:
    """Let the repository have a blob that is in the storage."""
    row = {"repository": repository.id, "digest": digest, "size": size}
    database.insert(connection, "repositoryblob", row)
