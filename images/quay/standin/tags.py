"""Tags: their present and former manifests."""

import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from standin import database
from standin.repositories import Repository


@dataclass(frozen=True)
class Tag:
    """A name for a manifest, from ``started`` to ``ended``, which is None for a present tag."""

    name: str
    digest: str
    started: int
    ended: int | None
    media_type: str
    layers_size: int


def active(connection: Connection, repository: Repository) -> list[Tag]:
    """Return the tags that were pushed by name, sorted."""
    found = [tag for tag in history(connection, repository) if tag.ended is None]
    return sorted(found, key=lambda tag: tag.name)


def history(connection: Connection, repository: Repository) -> list[Tag]:
    """Return all present and former tags, the newest first."""
    rows = connection.execute(
        text(
            "SELECT t.name, t.digest, t.started, t.ended, m.media_type, m.layers_size FROM ("
            " SELECT repository, name, digest, started, NULL AS ended FROM tag WHERE NOT hidden"
            " UNION ALL SELECT repository, name, digest, started, ended FROM pasttag"
            ") t JOIN manifest m ON m.repository = t.repository AND m.digest = t.digest"
            " WHERE t.repository = :id"
        ),
        {"id": repository.id},
    )
    found = [Tag(*row) for row in rows]
    return sorted(found, key=lambda tag: (-tag.started, tag.name, tag.ended is not None))


def page(names: list[str], last: str | None, limit: int) -> tuple[list[str], bool]:
    """Return at most ``limit`` names after the last one seen, and whether there are more."""
    rest = [name for name in names if last is None or name > last]
    return rest[:limit], len(rest) > limit


def point(connection: Connection, repository: Repository, name: str | None, digest: str) -> None:
    """Point a tag at a manifest. Without a name a hidden tag preserves the manifest."""
    if name is not None:
        _end(connection, repository, "name = :reference AND digest <> :digest", name, digest)
    database.save(
        connection,
        "tag",
        {"repository": repository.id, "name": name or digest},
        {"digest": digest, "started": int(time.time()), "hidden": name is None},
    )


def delete(connection: Connection, repository: Repository, reference: str) -> bool:
    """Delete a tag, or all tags of a digest; return False if there is none."""
    return _end(connection, repository, "(name = :reference OR digest = :reference)", reference)


def was_there(connection: Connection, repository: Repository, name: str) -> bool:
    """Return whether there was a tag with that name, which could be restored."""
    return any(tag.name == name for tag in history(connection, repository))


def _end(
    connection: Connection, repository: Repository, condition: str, reference: str, digest: str = ""
) -> bool:
    values = {"id": repository.id, "reference": reference, "digest": digest}
    where = f"FROM tag WHERE repository = :id AND {condition}"
    connection.execute(
        text(
            "INSERT INTO pasttag (repository, name, digest, started, ended)"
            f" SELECT repository, name, digest, started, :now {where} AND NOT hidden"
        ),
        {**values, "now": int(time.time())},
    )
    return connection.execute(text(f"DELETE {where}"), values).rowcount > 0
