"""Uploads of blobs. Each of a client's uploads is one upload to docker-registry."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, abort, request
from sqlalchemy import Connection, text

from standin import repositories, storage
from standin.access import READ, WRITE, Access
from standin.repositories import Repository

CHUNK = 64 * 1024
RANGE = re.compile(r"([0-9]+)-([0-9]+)")


@dataclass
class Upload:
    """An upload in progress: its location in the back end, and the number of received bytes."""

    id: str
    location: str
    received: int = 0

    def take(self, start: int) -> None:
        """Forward the request's body to the storage, without what was received before.

        As Quay does, a body that starts at 0 is always added.
        """
        known = self.received - start if start > 0 else 0

        def content() -> Iterator[bytes]:
            left = known
            while chunk := request.stream.read(CHUNK):
                fresh = chunk[left:]
                left = max(left - len(chunk), 0)
                self.received += len(fresh)
                yield fresh

        self.location = storage.append(self.location, content())


def add_uploads(blueprint: Blueprint, access: Access) -> None:
    """Add the routes. No route holds a database connection while a client sends."""

    @blueprint.post("/<path:path>/blobs/uploads/")
    def start(path: str) -> Response:
        """Begin an upload, mount a blob from another repository, or receive the whole blob."""
        with access.engine.begin() as connection:
            repository = access.repository(connection, path, WRITE)
            if _mount(access, connection, repository):
                return _blob_created(access, repository, request.args["mount"])
        upload = Upload(str(uuid.uuid4()), storage.start_upload())
        if "digest" in request.args:
            return _finish(access, repository, upload)
        with access.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO blobupload VALUES (:id, :repository, :location, 0)"),
                {"id": upload.id, "repository": repository.id, "location": upload.location},
            )
        return _upload_accepted(access, repository, upload, "bytes=0--1")

    @blueprint.get("/<path:path>/blobs/uploads/<upload_id>")
    def progress(path: str, upload_id: str) -> Response:
        """Report how much of an upload was received."""
        _, upload = _find(access, path, upload_id)
        headers = {"Docker-Upload-UUID": upload.id, "Range": f"bytes=0-{upload.received}"}
        return Response(status=204, headers=headers)

    @blueprint.patch("/<path:path>/blobs/uploads/<upload_id>")
    def append(path: str, upload_id: str) -> Response:
        """Receive a part of a blob."""
        repository, upload = _find(access, path, upload_id)
        upload.take(_start(access, repository, upload))
        with access.engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE blobupload SET location = :location, received = :received"
                    " WHERE id = :id"
                ),
                {"location": upload.location, "received": upload.received, "id": upload.id},
            )
        return _upload_accepted(access, repository, upload, f"0-{upload.received - 1}")

    @blueprint.put("/<path:path>/blobs/uploads/<upload_id>")
    def finish(path: str, upload_id: str) -> Response:
        """Receive the last part of a blob, and check its digest."""
        return _finish(access, *_find(access, path, upload_id))

    @blueprint.delete("/<path:path>/blobs/uploads/<upload_id>")
    def cancel(path: str, upload_id: str) -> Response:
        """Cancel an upload."""
        _, upload = _find(access, path, upload_id)
        storage.cancel(upload.location)
        _forget(access, upload)
        return Response(status=204)


def _find(access: Access, path: str, upload_id: str) -> tuple[Repository, Upload]:
    with access.engine.connect() as connection:
        repository = access.repository(connection, path, WRITE)
        row = connection.execute(
            text(
                "SELECT id, location, received FROM blobupload"
                " WHERE id = :id AND repository = :repository"
            ),
            {"id": upload_id, "repository": repository.id},
        ).first()
    if row is None:
        access.fail(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    return repository, Upload(*row)


def _forget(access: Access, upload: Upload) -> None:
    with access.engine.begin() as connection:
        connection.execute(text("DELETE FROM blobupload WHERE id = :id"), {"id": upload.id})


def _mount(access: Access, connection: Connection, repository: Repository) -> bool:
    """Mount a blob from another repository that the token may read."""
    digest, origin_path = request.args.get("mount"), request.args.get("from")
    if not digest or not origin_path:
        return False
    origin = repositories.find(connection, *repositories.split(origin_path))
    if origin is None or not (origin.is_public or access.allows(origin_path, READ)):
        return False
    size = repositories.blob_size(connection, origin, digest)
    if size is None:
        return False
    repositories.add_blob(connection, repository, digest, size)
    return True


def _finish(access: Access, repository: Repository, upload: Upload) -> Response:
    if "digest" not in request.args:
        reason = {"reason": "Missing digest arg on monolithic upload"}
        access.fail(400, "BLOB_UPLOAD_INVALID", "blob upload invalid", reason)
    digest = request.args["digest"]
    if not repositories.DIGEST.fullmatch(digest):
        access.fail(400, "BLOB_UPLOAD_INVALID", "blob upload invalid")
    upload.take(_start(access, repository, upload))
    try:
        storage.finish(upload.location, digest)
    except storage.DigestError:
        _forget(access, upload)
        access.fail(400, "BLOB_UPLOAD_INVALID", "blob upload invalid")
    with access.engine.begin() as connection:
        repositories.add_blob(connection, repository, digest, upload.received)
    _forget(access, upload)
    return _blob_created(access, repository, digest)


def _blob_created(access: Access, repository: Repository, digest: str) -> Response:
    headers = {
        "Docker-Content-Digest": digest,
        "Location": f"{access.settings.url}/v2/{repository.path}/blobs/{digest}",
    }
    return Response(status=201, headers=headers)


def _start(access: Access, repository: Repository, upload: Upload) -> int:
    """Return the offset of the sent body, which must not leave a gap."""
    header = request.headers.get("Content-Range")
    if header is None:
        return 0
    found = RANGE.fullmatch(header)
    if found is None or int(found[1]) > int(found[2]) + 1:
        access.fail(400, "INVALID_REQUEST", "Invalid range header")
    start = int(found[1])
    if start > upload.received:
        headers = _progress(access, repository, upload)
        abort(Response(status=416, headers={**headers, "Range": f"0-{upload.received}"}))
    return start


def _progress(access: Access, repository: Repository, upload: Upload) -> dict[str, str]:
    """Return the headers with the upload's id and next location."""
    return {
        "Docker-Upload-UUID": upload.id,
        "Location": f"{access.settings.url}/v2/{repository.path}/blobs/uploads/{upload.id}",
    }


def _upload_accepted(
    access: Access, repository: Repository, upload: Upload, received: str
) -> Response:
    headers = {**_progress(access, repository, upload), "Range": received}
    return Response(status=202, headers=headers)
