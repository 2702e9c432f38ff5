"""The registry under /v2, as Quay speaks Docker's protocol: listings and manifests are here."""

from typing import NoReturn

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import Engine

from standin import repositories
from standin.access import READ, WRITE, Access, add_token_service
from standin.accounts import Accounts
from standin.blobs import add_blobs, add_uploads
from standin.config import Settings
from standin.events import UserEvents
from standin.manifests import (
    DOCKER_SCHEMA_1,
    DOCKER_SCHEMA_1_SIGNED,
    REQUIRED,
    ManifestError,
    Parsed,
    parse,
)
from standin.refusals import not_done
from standin.repositories import DIGEST, TAG


def make_blueprint(
    settings: Settings, engine: Engine, accounts: Accounts, user_events: UserEvents
) -> Blueprint:
    """All routes under /v2."""
    blueprint = Blueprint("registry", __name__, url_prefix="/v2")
    access = Access(settings, engine, accounts)
    add_token_service(blueprint, access, user_events)
    _add_listings(blueprint, access)
    _add_manifests(blueprint, access)
    add_blobs(blueprint, access)
    add_uploads(blueprint, access)
    return blueprint


def _add_listings(blueprint: Blueprint, access: Access) -> None:
    @blueprint.get("/_catalog")
    def catalog() -> Response:
        """The repositories that the token's account may see."""
        with access.engine.connect() as connection:
            account = access.account(connection)
            namespaces = []
            if account is not None:
                namespaces = [account.name, *access.accounts.organizations(connection, account)]
            return jsonify(repositories=repositories.paths(connection, namespaces))

    @blueprint.get("/<path:path>/tags/list")
    def tags(path: str) -> Response:
        """The tags of a repository."""
        with access.engine.connect() as connection:
            repository = access.repository(connection, path, READ)
            names = [tag.name for tag in repositories.tags(connection, repository)]
        return jsonify(name=repository.path, tags=names)


def _add_manifests(blueprint: Blueprint, access: Access) -> None:
    @blueprint.get("/<path:path>/manifests/<reference>")
    def manifest(path: str, reference: str) -> Response:
        """The manifest of a tag or digest."""
        with access.engine.connect() as connection:
            repository = access.repository(connection, path, READ)
            found = repositories.get_manifest(connection, repository, reference)
        if found is None:
            access.fail(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Docker-Content-Digest": found.digest}
        return Response(found.body, headers=headers, content_type=found.media_type)

    @blueprint.put("/<path:path>/manifests/<reference>")
    def put_manifest(path: str, reference: str) -> Response:
        """Take a manifest whose parts are all there, and point the tag at it."""
        is_digest = DIGEST.fullmatch(reference) is not None
        with access.engine.begin() as connection:
            repository = access.repository(connection, path, WRITE)
            if not (is_digest or TAG.fullmatch(reference)):
                access.fail(400, "TAG_INVALID", "manifest tag did not match URI")
            parsed = _parse(access)
            try:
                digest = repositories.put_manifest(
                    connection, repository, parsed, None if is_digest else reference
                )
                if is_digest and digest != reference:
                    raise ManifestError("manifest digest mismatch")
            except ManifestError as error:
                _refuse_manifest(access, str(error))
        headers = {
            "Docker-Content-Digest": digest,
            # Relative, unlike all others: as Quay has it.
            "Location": f"/v2/{repository.path}/manifests/{digest}",
        }
        return Response("OK", status=201, headers=headers)

    @blueprint.delete("/<path:path>/manifests/<reference>")
    def delete_manifest(path: str, reference: str) -> Response:
        """Delete a tag, or all tags of a digest."""
        with access.engine.begin() as connection:
            repository = access.repository(connection, path, WRITE)
            if not repositories.delete_manifest(connection, repository, reference):
                access.fail(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return Response(status=202)


def _parse(access: Access) -> Parsed:
    """The manifest that was sent; of none of Docker's and OCI's types it is one of schema 1."""
    media_type = request.content_type or DOCKER_SCHEMA_1
    if media_type in ("application/json", DOCKER_SCHEMA_1_SIGNED):
        media_type = DOCKER_SCHEMA_1
    if media_type not in REQUIRED:
        _refuse_manifest(access, "manifest schema version not supported", 415)
    try:
        parsed = parse(media_type, request.get_data())
    except ManifestError as error:
        _refuse_manifest(access, f"failed to parse manifest: {error}")
    if media_type == DOCKER_SCHEMA_1:
        not_done("a push of Docker's schema 1")
    return parsed


def _refuse_manifest(access: Access, reason: str, status: int = 400) -> NoReturn:
    access.fail(status, "MANIFEST_INVALID", "manifest invalid", {"message": reason})
