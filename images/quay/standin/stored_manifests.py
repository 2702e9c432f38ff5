"""The manifests of a repository, in the database."""

import hashlib
import json
from dataclasses import dataclass

from sqlalchemy import Connection, text

from standin import database, storage
from standin.manifests import (
    DOCKER_IMAGE,
    LIST_TYPES,
    OCI_IMAGE,
    ManifestError,
    Parsed,
    check_configuration,
    parse,
)
from standin.repositories import DIGEST, Repository, blob_size


@dataclass(frozen=True)
class Manifest:
    """A manifest as it was pushed."""

    digest: str
    media_type: str
    body: bytes


def put(connection: Connection, repository: Repository, parsed: Parsed) -> str:
    """Store a manifest; return its digest. The caller must point a tag at it.

    Raises:
        ManifestError: a part of it is missing or invalid.
    """
    if parsed.media_type in LIST_TYPES:
        for child in parsed.children:
            if get(connection, repository, child) is None:
                raise ManifestError(f"Could not find child manifest with digest `{child}`")
    else:
        _check_blobs(connection, repository, parsed)
    database.save(
        connection,
        "manifest",
        {"repository": repository.id, "digest": digest_of(parsed.body)},
        {
            "media_type": parsed.media_type,
            "body": parsed.body,
            "layers_size": parsed.layers_size,
        },
    )
    return digest_of(parsed.body)


def digest_of(body: bytes) -> str:
    """Return a manifest's digest."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _check_blobs(connection: Connection, repository: Repository, parsed: Parsed) -> None:
    """Check an image's configuration and layers, in Quay's order and words."""
    configuration = parsed.configuration
    present = blob_size(connection, repository, configuration) is not None
    if not present and parsed.media_type == DOCKER_IMAGE:
        raise ManifestError("Could not load config blob for manifest")
    if present:
        check_configuration(parsed, storage.read(configuration))
    for digest in [configuration, *(layer["digest"] for layer in parsed.layers)]:
        if blob_size(connection, repository, digest) is None:
            raise ManifestError(f"Unknown blob `{digest}`")


def get(connection: Connection, repository: Repository, reference: str) -> Manifest | None:
    """Return a manifest by tag, or by digest while a tag points at it or at a list with it."""
    name = "(t.name = :value OR m.digest = :value)"
    if found := _tagged(connection, repository, name, reference):
        return found[0]
    if not DIGEST.fullmatch(reference):
        return None
    for media_type in LIST_TYPES:
        for parent in _tagged(connection, repository, "m.media_type = :value", media_type):
            if reference in parse(media_type, parent.body).children:
                return any_of(connection, repository, reference)
    return None


def any_of(connection: Connection, repository: Repository, digest: str) -> Manifest | None:
    """Return the manifest with that digest, whether or not a tag still points at it."""
    row = connection.execute(
        text(
            "SELECT digest, media_type, body FROM manifest"
            " WHERE repository = :id AND digest = :digest"
        ),
        {"id": repository.id, "digest": digest},
    ).first()
    return Manifest(row[0], row[1], bytes(row[2])) if row else None


def referrers(connection: Connection, repository: Repository, subject: str) -> list[Manifest]:
    """Return the manifests with that subject, the oldest first."""
    found = _tagged(connection, repository, "m.media_type = :value", OCI_IMAGE)
    return [
        manifest
        for manifest in found
        if (json.loads(manifest.body).get("subject") or {}).get("digest") == subject
    ]


def _tagged(
    connection: Connection, repository: Repository, condition: str, value: str
) -> list[Manifest]:
    """Return the tagged manifests that fulfil a condition, by the age of the tags."""
    rows = connection.execute(
        text(
            "SELECT m.digest, m.media_type, m.body FROM manifest m"
            " JOIN tag t ON t.repository = m.repository AND t.digest = m.digest"
            f" WHERE m.repository = :id AND {condition} ORDER BY t.started, t.name"
        ),
        {"id": repository.id, "value": value},
    )
    return list({row[0]: Manifest(row[0], row[1], bytes(row[2])) for row in rows}.values())
