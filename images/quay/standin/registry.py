"""The registry under /v2, as Quay speaks Docker's protocol: manifests are here."""

from typing import NoReturn

from flask import Blueprint, Response, abort, request
from sqlalchemy import Connection, Engine

from standin import stored_manifests, tags
from standin.access import READ, WRITE, Access
from standin.accounts import Accounts
from standin.blobs import add_blobs
from standin.config import Settings
from standin.events import UserEvents
from standin.listings import add_listings
from standin.manifests import (
    DOCKER_SCHEMA_1,
    DOCKER_SCHEMA_1_SIGNED,
    LIST_TYPES,
    REQUIRED,
    ManifestError,
    Parsed,
    parse,
)
from standin.refusals import not_done
from standin.repositories import DIGEST, TAG, Repository
from standin.stored_manifests import Manifest
from standin.token_service import add_token_service
from standin.uploads import add_uploads


def make_blueprint(
    settings: Settings, engine: Engine, accounts: Accounts, user_events: UserEvents
) -> Blueprint:
    """Add all routes under /v2."""
    blueprint = Blueprint("registry", __name__, url_prefix="/v2")
    access = Access(settings, engine, accounts)
    add_token_service(blueprint, access, user_events)
    add_listings(blueprint, access)
    _add_manifests(blueprint, access)
    add_blobs(blueprint, access)
    add_uploads(blueprint, access)
    return blueprint


def _add_manifests(blueprint: Blueprint, access: Access) -> None:
    @blueprint.before_request
    def check_reference() -> None:
        """Refuse a reference that is neither a tag nor a digest."""
        reference = (request.view_args or {}).get("reference")
        if reference and not (TAG.fullmatch(reference) or DIGEST.fullmatch(reference)):
            abort(404)

    @blueprint.get("/<path:path>/manifests/<reference>")
    def manifest(path: str, reference: str) -> Response:
        """Return the manifest of a tag or digest."""
        is_digest = DIGEST.fullmatch(reference) is not None
        with access.engine.connect() as connection:
            repository = access.repository(connection, path, READ, reference)
            found = stored_manifests.get(connection, repository, reference)
            if found is None:
                _refuse_unknown(access, connection, repository, reference)
            if not is_digest:
                found = _acceptable(connection, repository, found)
        headers = {"Docker-Content-Digest": found.digest}
        return Response(found.body, headers=headers, content_type=found.media_type)

    @blueprint.put("/<path:path>/manifests/<reference>")
    def put_manifest(path: str, reference: str) -> Response:
        """Store a manifest, if all its parts exist, and point the tag at it."""
        is_digest = DIGEST.fullmatch(reference) is not None
        media_type = _sent_type(access)
        with access.engine.begin() as connection:
            repository = access.repository(connection, path, WRITE, "")
            parsed = _parse(access, media_type)
            if is_digest and stored_manifests.digest_of(parsed.body) != reference:
                _refuse_manifest(access, "manifest digest mismatch")
            try:
                digest = stored_manifests.put(connection, repository, parsed)
            except ManifestError as error:
                _refuse_manifest(access, str(error))
            # Sent by its digest, it is part of a future list, and a hidden tag preserves it.
            tags.point(connection, repository, None if is_digest else reference, digest)
        headers = {
            "Docker-Content-Digest": digest,
            # Relative, unlike all others, as in Quay.
            "Location": f"/v2/{repository.path}/manifests/{digest}",
        }
        return Response("OK", status=201, headers=headers)

    @blueprint.delete("/<path:path>/manifests/<reference>")
    def delete_manifest(path: str, reference: str) -> Response:
        """Delete a tag, or all tags of a digest."""
        with access.engine.begin() as connection:
            repository = access.repository(connection, path, WRITE, "")
            if not tags.delete(connection, repository, reference):
                access.fail(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Response(status=202)


def _acceptable(connection: Connection, repository: Repository, found: Manifest) -> Manifest:
    """Return the manifest in a form that the client accepts: itself, or a list's linux/amd64."""
    accepted = [media_type for media_type, _ in request.accept_mimetypes]
    if found.media_type not in accepted and found.media_type in LIST_TYPES:
        for part in parse(found.media_type, found.body).values["manifests"]:
            platform = part.get("platform") or {}
            if (platform.get("os"), platform.get("architecture")) == ("linux", "amd64"):
                child = stored_manifests.any_of(connection, repository, part["digest"])
                found = child or found
    if found.media_type not in accepted:
        not_done("a manifest converted to Docker's schema 1, as no other is accepted")
    return found


def _refuse_unknown(
    access: Access, connection: Connection, repository: Repository, reference: str
) -> NoReturn:
    if tags.was_there(connection, repository, reference):
        reason = f"Tag {reference} was deleted or has expired. To pull, revive via time machine"
        access.fail(404, "TAG_EXPIRED", reason)
    access.fail(404, "MANIFEST_UNKNOWN", "manifest unknown")


def _sent_type(access: Access) -> str:
    """Return the type of the sent manifest; without one it is Docker's schema 1."""
    media_type = request.content_type or DOCKER_SCHEMA_1
    if media_type in ("application/json", DOCKER_SCHEMA_1_SIGNED):
        media_type = DOCKER_SCHEMA_1
    if media_type not in REQUIRED:
        _refuse_manifest(access, "manifest schema version not supported", 415)
    return media_type


def _parse(access: Access, media_type: str) -> Parsed:
    try:
        parsed = parse(media_type, request.get_data())
    except ManifestError as error:
        _refuse_manifest(access, f"failed to parse manifest: {error}")
    if media_type == DOCKER_SCHEMA_1:
        not_done("a push of Docker's schema 1")
    return parsed


def _refuse_manifest(access: Access, reason: str, status: int = 400) -> NoReturn:
    access.fail(status, "MANIFEST_INVALID", "manifest invalid", {"message": reason})
