"""What Quay requires of a manifest, apart from the repository's content."""

import json
from dataclasses import dataclass
from typing import Any

DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA_1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
# The type of an image's configuration, beside which OCI has any number of others (charts, say).
OCI_CONFIGURATION = "application/vnd.oci.image.config.v1+json"

SCHEMA_1_TYPES = (DOCKER_SCHEMA_1, DOCKER_SCHEMA_1_SIGNED)
LIST_TYPES = (DOCKER_LIST, OCI_INDEX)
REQUIRED = {
    DOCKER_SCHEMA_1: ("tag", "name", "fsLayers", "history"),
    DOCKER_IMAGE: ("schemaVersion", "mediaType", "config", "layers"),
    DOCKER_LIST: ("schemaVersion", "mediaType", "manifests"),
    OCI_IMAGE: ("schemaVersion", "config", "layers"),
    OCI_INDEX: ("schemaVersion", "manifests"),
}


class ManifestError(Exception):
    """Why a manifest is refused, in Quay's words."""


@dataclass(frozen=True)
class Parsed:
    """A valid manifest. A list has children; an image has a configuration and layers."""

    media_type: str
    body: bytes
    values: dict[str, Any]

    @property
    def children(self) -> list[str]:
        """The digests of a list's manifests."""
        return [part["digest"] for part in self.values.get("manifests", [])]

    @property
    def layers(self) -> list[dict[str, Any]]:
        """An image's layers, except those with their own addresses (Windows' base layers)."""
        return [layer for layer in self.values.get("layers", []) if not layer.get("urls")]

    @property
    def layers_size(self) -> int:
        """The layers' size by the manifest, in bytes."""
        return sum(layer["size"] for layer in self.layers)

    @property
    def configuration(self) -> str:
        """The digest of an image's configuration."""
        return str(self.values["config"]["digest"])


def parse(media_type: str, body: bytes) -> Parsed:
    """Parse a manifest of this type.

    Raises:
        ManifestError: it is not.
    """
    try:
        values = json.loads(body)
    except ValueError as error:
        raise ManifestError(f"malformed manifest data: {error}") from error
    _check_schema("manifest", values, REQUIRED[media_type])
    named = values.get("mediaType", media_type)
    if named != media_type:
        raise ManifestError(
            f"manifest data does not match schema: {named!r} is not one of [{media_type!r}]"
        )
    parts = [*values.get("manifests", []), *values.get("layers", [])]
    for part in [*parts, *([values["config"]] if "config" in values else [])]:
        _check_schema("manifest", part, ("mediaType", "size", "digest"))
    return Parsed(media_type, body, values)


def check_configuration(parsed: Parsed, content: bytes) -> None:
    """Refuse a configuration that Quay can't read: Docker's needs a history, OCI's doesn't.

    Raises:
        ManifestError: its form is wrong.
    """
    if parsed.media_type == OCI_IMAGE:
        if parsed.values["config"].get("mediaType") != OCI_CONFIGURATION:
            return
        required: tuple[str, ...] = ("rootfs", "architecture", "os")
    else:
        required = ("history", "rootfs")
    try:
        values = json.loads(content)
    except ValueError as error:
        raise ManifestError(f"malformed config data: {error}") from error
    _check_schema("config", values, required)


def _check_schema(kind: str, values: Any, required: tuple[str, ...]) -> None:
    """Return the first line of the error of Quay's JSON schema; the rest is the schema itself."""
    reason = None
    if not isinstance(values, dict):
        reason = f"{values!r} is not of type 'object'"
    elif missing := [key for key in required if key not in values]:
        reason = f"{missing[0]!r} is a required property"
    if reason:
        raise ManifestError(f"{kind} data does not match schema: {reason}")
