"""Lists: the catalog, a repository's tags, and the referrers of a manifest."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, request

from standin import permissions, repositories, stored_manifests, tags
from standin.access import READ, Access
from standin.manifests import OCI_IMAGE, OCI_INDEX
from standin.repositories import DIGEST
from standin.stored_manifests import Manifest

PAGE = 100


def add_listings(blueprint: Blueprint, access: Access) -> None:
    """Add the routes of lists."""

    @blueprint.get("/_catalog")
    def catalog() -> Response:
        """List the repositories that the token's account may see."""
        limit = max(_limit(), 1)
        last = request.args.get("next_page")
        with access.engine.connect() as connection:
            account = access.account(connection)
            everything = repositories.in_namespace(connection, "")
            paths = [
                found.path
                for found in everything
                if account
                and permissions.role_of(
                    connection, access.accounts, account, found.namespace, found
                )
            ]
        shown, more = tags.page(sorted(paths), last and _unsealed(last), limit)
        answer = jsonify(repositories=shown)
        if more:
            _link(answer, "/v2/_catalog", n=limit, next_page=_sealed(shown[-1]))
        return answer

    @blueprint.get("/<path:path>/tags/list")
    def tag_list(path: str) -> Response:
        """List the tags of a repository."""
        limit, last = _limit(), request.args.get("last")
        with access.engine.connect() as connection:
            repository = access.repository(connection, path, READ)

            def load() -> tuple[list[str], bool]:
                names = [tag.name for tag in tags.active(connection, repository)]
                return tags.page(names, last, limit)

            shown, more = access.cache.get(("tags", repository.id, last, limit), load)
        answer = jsonify(name=repository.path, tags=shown)
        if more and shown:
            _link(answer, f"/v2/{repository.path}/tags/list", n=limit, last=shown[-1])
        return answer

    @blueprint.get("/<path:path>/referrers/<digest>")
    def referrers(path: str, digest: str) -> Response:
        """List the manifests that refer to a manifest: signatures, bills of material."""
        if not DIGEST.fullmatch(digest):
            return Response(status=404)
        wanted = request.args.get("artifactType")
        with access.engine.connect() as connection:
            repository = access.repository(connection, path, READ)
            if stored_manifests.get(connection, repository, digest) is None:
                access.fail(400, "MANIFEST_INVALID", "manifest invalid", "")
            found = stored_manifests.referrers(connection, repository, digest)
        entries = [_referrer(manifest) for manifest in found]
        entries = [entry for entry in entries if wanted in (None, entry["artifactType"])]
        index: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        if entries and "annotations" in entries[-1]:
            # As in Quay.
            index["annotations"] = entries[-1]["annotations"]
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        return Response(json.dumps(index, indent=3), headers=headers, content_type=OCI_INDEX)


def _referrer(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest's entry in a list of referrers."""
    values = json.loads(manifest.body)
    more = {"annotations": values["annotations"]} if values.get("annotations") else {}
    return {
        "mediaType": OCI_IMAGE,
        "digest": manifest.digest,
        "size": len(manifest.body),
        "artifactType": values.get("artifactType") or values["config"]["mediaType"],
        **more,
    }


def _limit() -> int:
    """Return the number of entries that the client wants; anything but a number is ignored."""
    return max(min(request.args.get("n", PAGE, type=int), PAGE), 0)


def _link(answer: Response, path: str, **arguments: str | int) -> None:
    answer.headers["Link"] = f'<{path}?{urlencode(arguments)}>; rel="next"'


def _sealed(path: str) -> str:
    return base64.urlsafe_b64encode(path.encode()).decode()


def _unsealed(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError:
        return ""
