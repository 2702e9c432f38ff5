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
        """The path that clients use."""
        return f"{self.namespace}/{self.name}"


def split(path: str) -> tuple[str, str]:
    """Split a repository's path into namespace and name."""
    namespace, slash, name = path.partition("/")
    return (namespace, name) if slash else (LIBRARY, path)


def find(connection: Connection, namespace: str, name: str) -> Repository | None:
    """Return the repository with that name."""
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
    """Create a repository; return False if it exists."""
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
    """Release a repository's name. As in Quay, its content can still be found by its id."""
    change(connection, repository, name=str(uuid.uuid4()), is_deleted=True)


def in_namespace(connection: Connection, namespace: str) -> list[Repository]:
    """Return the repositories of a namespace, or of all namespaces, by name."""
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
    """Return the size of a blob of the repository; None if it doesn't have the blob."""
    size = connection.execute(
        text("SELECT size FROM repositoryblob WHERE repository = :id AND digest = :digest"),
        {"id": repository.id, "digest": digest},
    ).scalar()
    return None if size is None else int(size)


def add_blob(connection: Connection, repository: Repository, digest: str, size: int) -> None:
    """Add a blob, which is in the storage, to the repository."""
    row = {"repository": repository.id, "digest": digest, "size": size}
    database.insert(connection, "repositoryblob", row)
