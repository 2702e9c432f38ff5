"""Downloads of blobs."""

from flask import Blueprint, Response, make_response, redirect, request

from standin import drivers, repositories, storage, storage_proxy
from standin.access import READ, Access


def add_blobs(blueprint: Blueprint, access: Access) -> None:
    """Add the routes of blobs."""

    @blueprint.get("/<path:path>/blobs/<digest>")
    def blob(path: str, digest: str) -> Response:
        """A blob of a repository: where the store has it, or nginx fetches it from
        docker-registry."""
        with access.engine.connect() as connection:
            repository = access.repository(connection, path, READ)
            size = repositories.blob_size(connection, repository, digest)
        if size is None:
            access.fail(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if request.method == "GET" and drivers.signs(access.settings):
            signed = storage.signed_address(digest)
            answer = make_response(redirect(storage_proxy.address(access.settings, signed)))
        else:
            answer = Response(content_type="application/octet-stream")
        answer.headers["Docker-Content-Digest"] = digest
        if request.method == "HEAD":
            answer.headers["Content-Length"] = str(size)
            # The two differ, as in Quay.
            answer.headers["Cache-Control"] = "max-age=31436000"
        else:
            answer.headers["Cache-Control"] = "max-age=31536000"
            if not answer.location:
                answer.headers["X-Accel-Redirect"] = f"/_blobs/{digest}"
        return answer

    @blueprint.delete("/<path:path>/blobs/<digest>")
    def delete_blob(path: str, digest: str) -> Response:
        """Refuse: blobs are only deleted together with their manifests."""
        access.fail(405, "UNSUPPORTED", "The operation is unsupported.")
