"""An image with one small file, as Docker's own client would push it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIGURATION = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CREATED = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class SampleImage:
    """The three parts of an image in a registry."""

    layer: bytes
    configuration: bytes
    manifest: bytes


def sample_image(content: str) -> SampleImage:
    """Return an image of one file with this content, on which all three parts depend."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("quaylab.txt")
        entry.size = len(content.encode())
        tar.addfile(entry, io.BytesIO(content.encode()))
    layer = gzip.compress(archive.getvalue(), mtime=0)
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": CREATED,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(archive.getvalue())]},
            # Quay refuses an image of this type without a history, which Docker always writes.
            "history": [{"created": CREATED, "created_by": "Quaylab's verification"}],
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _part(CONFIGURATION, configuration),
        "layers": [_part(LAYER, layer)],
    }
    return SampleImage(layer, configuration, json.dumps(manifest).encode())


def digest(content: bytes) -> str:
    """Return the digest by which a registry names a part."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _part(media_type: str, content: bytes) -> dict[str, str | int]:
    return {"mediaType": media_type, "size": len(content), "digest": digest(content)}
