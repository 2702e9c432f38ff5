"""The manifests and blobs that the second recording names, and what each request sends."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from tests.machine.recording import digest

TYPES = {
    "<D1>": "application/vnd.docker.distribution.manifest.v1+json",
    "<D2>": "application/vnd.docker.distribution.manifest.v2+json",
    "<DL>": "application/vnd.docker.distribution.manifest.list.v2+json",
    "<OM>": "application/vnd.oci.image.manifest.v1+json",
    "<OI>": "application/vnd.oci.image.index.v1+json",
}
DOCKER, LIST, OCI, INDEX = TYPES["<D2>"], TYPES["<DL>"], TYPES["<OM>"], TYPES["<OI>"]
CONFIGURATION = "application/vnd.docker.container.image.v1+json"
OCI_CONFIGURATION = "application/vnd.oci.image.config.v1+json"
ABSENT = b"of nothing that was ever pushed"


def _image(
    name: str, *, media_type: str = DOCKER, history: int | None = 1, **more: Any
) -> tuple[bytes, bytes, bytes]:
    """Return manifest, layer and configuration of an image whose digests are unique."""
    layer = gzip.compress(name.encode(), mtime=0)
    values: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "name": name,
        "rootfs": {"type": "layers", "diff_ids": [digest(name.encode())]},
    }
    if history is not None:
        values["history"] = [{"created": "1970-01-01T00:00:00Z"}] * history
    config = json.dumps(values).encode()
    config_type = CONFIGURATION if media_type == DOCKER else OCI_CONFIGURATION
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": config_type, "size": len(config), "digest": digest(config)},
        "layers": [
            {
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": len(layer),
                "digest": digest(layer),
            }
        ],
        **more,
    }
    return json.dumps(manifest).encode(), layer, config


def _changed(manifest: bytes, part: str, **values: Any) -> bytes:
    """Return a manifest with other values for its configuration or layer."""
    read = json.loads(manifest)
    (read["layers"][0] if part == "layer" else read["config"]).update(values)
    return json.dumps(read).encode()


def _list(media_type: str, child_type: str, *children: bytes) -> bytes:
    parts = [
        {
            "mediaType": child_type,
            "size": len(child),
            "digest": digest(child),
            "platform": {"os": "linux", "architecture": "amd64"},
        }
        for child in children
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": parts}).encode()


def _referrer(kind: str, subject: bytes) -> tuple[bytes, bytes, bytes]:
    artifact = f"application/vnd.example.{kind}"
    about = {"mediaType": OCI, "size": len(subject), "digest": digest(subject)}
    annotations = {"org.example.kind": artifact}
    return _image(
        f"REF-{kind}", media_type=OCI, subject=about, artifactType=artifact, annotations=annotations
    )


@dataclass
class Contents:
    """The manifests and blobs that the recording names."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._add("DOCKER-A", _image("DOCKER-A"))
        self._add("DOCKER-B", _image("DOCKER-B"))
        self._add("D-NOHIST", _image("D-NOHIST", history=None))
        self._add("D-BADHIST", _image("D-BADHIST", history=2))
        self._add("OCI-A", _image("OCI-A", media_type=OCI))
        self._add("OCI-NOHIST", _image("OCI-NOHIST", media_type=OCI, history=None))
        self._add("DEL", _image("DEL"))
        self._add("SUBJECT", _image("SUBJECT", media_type=OCI))
        subject = self.manifests["SUBJECT"]
        self._add("REF-SBOM", _referrer("sbom", subject))
        self._add("REF-SIG", _referrer("sig", subject))
        self._add("REF-ORPHAN", _referrer("orphan", ABSENT))
        a, size = self.manifests["DOCKER-A"], len(self.blobs["LAYER-DOCKER-A"])
        self.manifests |= {
            "ABSENT": ABSENT,
            "D-SIZE": _changed(a, "layer", size=size + 1),
            "NO-LAYER": _changed(a, "layer", digest=digest(ABSENT)),
            "NO-CONFIG": _changed(a, "config", digest=digest(ABSENT)),
            "INDEX": _list(INDEX, OCI, self.manifests["OCI-A"]),
            "INDEX-BAD": _list(INDEX, OCI, ABSENT),
            "INDEX-EMPTY": _list(INDEX, OCI),
            "LIST": _list(LIST, DOCKER, a),
        }
        self.blobs |= {"CHUNKS": b"0123456789abcd", "MONO": b"monolithic"}

    def _add(self, name: str, image: tuple[bytes, bytes, bytes]) -> None:
        self.manifests[name], self.blobs[f"LAYER-{name}"], self.blobs[f"CONFIG-{name}"] = image

    def digests(self) -> dict[str, str]:
        """Return the hexadecimal digests by name."""
        found = {**self.manifests, **self.blobs}
        return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


# What is sent where the recording only describes it, by the last part of the path or by title.
MANIFESTS = {
    "nohist": "D-NOHIST",
    "badhist": "D-BADHIST",
    "oci": "OCI-A",
    "oci-nohist": "OCI-NOHIST",
    "size": "D-SIZE",
    "idx": "INDEX",
    "idxbad": "INDEX-BAD",
    "idxempty": "INDEX-EMPTY",
    "lst": "LIST",
    "sbom": "REF-SBOM",
    "orphan": "REF-ORPHAN",
}
BODIES = {
    "manifest: Docker schema 2, with history": "DOCKER-A",
    "manifest: a layer that is not there": "NO-LAYER",
    "manifest: a configuration that is not there": "NO-CONFIG",
    "manifest: with a subject, by digest": "REF-SIG",
}
CHUNKS = {
    "upload: PATCH 0-4, in order": b"01234",
    "upload: PATCH 5-9, in order": b"56789",
    "upload: PATCH 20-24, a gap": b".....",
    "upload: PATCH, malformed range": b"...",
    "upload: PATCH, `bytes 10-12/*`": b"...",
    "upload: PATCH 8-12, overlaps by 2": b"89abc",
    "upload: PUT with the digest and a last chunk": b"d",
    "upload: PATCH 0-4 a second time": b"01234",
    "upload: PATCH without a range": b"01234",
    "upload: PUT without a digest": b"..",
    "upload: PATCH after it": b".",
    "upload: POST with digest and body": b"monolithic",
    "upload: POST with a wrong digest": b"monolithic",
}
