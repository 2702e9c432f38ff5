"""Repositories, their manifests and tags, in the database."""

import hashlib
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from standin import database, storage
from standin.manifests import (
    DOCKER_IMAGE,
    LIST_TYPES,
    ManifestError,
    Parsed,
    check_configuration,
)

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


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was pushed."""

    digest: str
    media_type: str
    body: bytes


@dataclass(frozen=True)
class Tag:
    """A name for a manifest."""

    name: str
    digest: str
    started: int
    media_type: str
    layers_size: int


def split(path: str) -> tuple[str, str]:
    """Namespace and name of a repository's path."""
    namespace, slash, name = path.partition("/")
    return (namespace, name) if slash else (LIBRARY, path)


def find(connection: Connection, namespace: str, name: str) -> Repository | None:
    """The repository of that name."""
    row = connection.execute(
        text(
            "SELECT id, namespace, name, description, is_public FROM repository"
            " WHERE namespace = :namespace AND name = :name"
        ),
        {"namespace": namespace, "name": name},
    ).first()
    return Repository(row[0], row[1], row[2], row[3], bool(row[4])) if row else None


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


def delete(connection: Connection, repository: Repository) -> None:
    """Forget a repository, and with it its tags, manifests and hold on blobs."""
    connection.execute(text("DELETE FROM repository WHERE id = :id"), {"id": repository.id})


def paths(connection: Connection, namespaces: Iterable[str]) -> list[str]:
    """The repositories that are public or in one of the namespaces."""
    visible = set(namespaces)
    rows = connection.execute(
        text("SELECT namespace, name, is_public FROM repository ORDER BY namespace, name")
    )
    return [f"{row.namespace}/{row.name}" for row in rows if row.is_public or row[0] in visible]


def in_namespace(connection: Connection, namespace: str, *, only_public: bool) -> list[Repository]:
    """The repositories of a name space, by name; of all without one."""
    rows = connection.execute(
        text(
            "SELECT id, namespace, name, description, is_public FROM repository"
            " WHERE (namespace = :namespace OR :namespace = '') ORDER BY namespace, name"
        ),
        {"namespace": namespace},
    )
    found = [Repository(*row) for row in rows]
    return [item for item in found if item.is_public or not only_public]


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


def put_manifest(
    connection: Connection, repository: Repository, parsed: Parsed, tag: str | None
) -> str:
    """Keep a manifest and point the tag at it; give its digest.

    Without a tag it is a part of a list that is still to come, and a hidden tag keeps it.

    Raises:
        ManifestError: what it names is not there, or is not as it must be.
    """
    if parsed.media_type in LIST_TYPES:
        for child in parsed.children:
            if get_manifest(connection, repository, child) is None:
                raise ManifestError(f"Could not find child manifest with digest `{child}`")
    else:
        _check_blobs(connection, repository, parsed)
    digest = f"sha256:{hashlib.sha256(parsed.body).hexdigest()}"
    database.save(
        connection,
        "manifest",
        {"repository": repository.id, "digest": digest},
        {
            "media_type": parsed.media_type,
            "body": parsed.body,
            "layers_size": parsed.layers_size,
        },
    )
    database.save(
        connection,
        "tag",
        {"repository": repository.id, "name": tag or digest},
        {"digest": digest, "started": int(time.time()), "hidden": tag is None},
    )
    return digest


def _check_blobs(connection: Connection, repository: Repository, parsed: Parsed) -> None:
    """An image's configuration and layers, in Quay's order and words."""
    configuration = parsed.configuration
    present = blob_size(connection, repository, configuration) is not None
    if not present and parsed.media_type == DOCKER_IMAGE:
        raise ManifestError("Could not load config blob for manifest")
    if present:
        check_configuration(parsed, storage.read(configuration))
    for digest in [configuration, *(layer["digest"] for layer in parsed.layers)]:
        if blob_size(connection, repository, digest) is None:
            raise ManifestError(f"Unknown blob `{digest}`")


def get_manifest(connection: Connection, repository: Repository, reference: str) -> Manifest | None:
    """The manifest of that tag or digest, as long as a tag points at it."""
    row = connection.execute(
        text(
            "SELECT m.digest, m.media_type, m.body FROM manifest m"
            " JOIN tag t ON t.repository = m.repository AND t.digest = m.digest"
            " WHERE m.repository = :id AND (t.name = :reference OR m.digest = :reference)"
        ),
        {"id": repository.id, "reference": reference},
    ).first()
    return Manifest(row[0], row[1], bytes(row[2])) if row else None


def delete_manifest(connection: Connection, repository: Repository, reference: str) -> bool:
    """Delete that tag, or all tags of that digest; false if there is none."""
    deleted = connection.execute(
        text(
            "DELETE FROM tag WHERE repository = :id AND (name = :reference OR digest = :reference)"
        ),
        {"id": repository.id, "reference": reference},
    )
    return deleted.rowcount > 0


def tags(connection: Connection, repository: Repository) -> list[Tag]:
    """The tags that were pushed by name, in their order."""
    rows = connection.execute(
        text(
            "SELECT t.name, t.digest, t.started, m.media_type, m.layers_size FROM tag t"
            " JOIN manifest m ON m.repository = t.repository AND m.digest = t.digest"
            " WHERE t.repository = :id AND NOT t.hidden ORDER BY t.name"
        ),
        {"id": repository.id},
    )
    return [Tag(*row) for row in rows]
