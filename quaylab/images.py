"""Where a container's image comes from: a registry, an archive, or Debian's packages."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from quaylab.paths import IMAGES
from quaylab.settings import Settings
from quaylab.versions import quay_version

# The major versions that Debian 13 packages.
PACKAGED_POSTGRESQL = "17"
PACKAGED_MARIADB = "11.8"
PACKAGED_REDIS = "8.0"
PACKAGED_CEPH = "18.2.7"
STANDIN = "quaylab/quay-standin"


@dataclass(frozen=True)
class Image:
    """An image that a host needs. ``context`` is set for one that is built from packages."""

    reference: str
    source: str
    context: Path | None = None
    arguments: tuple[tuple[str, str], ...] = ()


def database_image(settings: Settings) -> Image:
    """The image of the database that the settings ask for."""
    postgresql = settings.database_engine == "postgresql"
    if settings.image_source == "packages":
        if postgresql:
            return packaged_image("postgresql", PACKAGED_POSTGRESQL)
        return packaged_image("mariadb", PACKAGED_MARIADB)
    reference = settings.postgresql_image if postgresql else settings.mysql_image
    return Image(reference, settings.image_source)


def redis_image(settings: Settings) -> Image:
    """The image of Redis."""
    if settings.image_source == "packages":
        return packaged_image("redis", PACKAGED_REDIS)
    return Image(settings.redis_image, settings.image_source)


def ceph_image(settings: Settings) -> Image:
    """The image of Ceph's daemons."""
    if settings.image_source == "packages":
        return packaged_image("ceph", PACKAGED_CEPH)
    return Image(settings.ceph_image, settings.image_source)


def quay_image(settings: Settings) -> Image:
    """The image of Quay, or of its stand-in where only packages may be used."""
    version = quay_version(settings)
    if settings.image_source == "packages":
        return packaged_image("quay", version)
    return Image(f"{settings.quay_image}:{version}", settings.image_source)


def base_image() -> Image:
    """The Debian base that all packaged images stand on; its context is a script."""
    context = IMAGES / "base"
    return Image(f"quaylab/base:trixie-{_digest(context)}", "packages", context)


def packaged_image(part: str, version: str) -> Image:
    """An image of ``images/PART``. Its tag tells the content, so a change there is a new image."""
    context = IMAGES / part
    base = base_image()
    arguments = [("BASE", base.reference)]
    name = f"quaylab/{part}"
    if part == "quay":
        name = STANDIN
        arguments.append(("QUAY_VERSION", version))
    tag = f"{version}-{_digest(context, base.reference)}"
    return Image(f"{name}:{tag}", "packages", context, tuple(arguments))


def context_archive(context: Path) -> bytes:
    """A build context as a tar archive, the same bytes for the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in _files(context):
            entry = tarfile.TarInfo(str(path.relative_to(context)))
            content = path.read_bytes()
            entry.size = len(content)
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _digest(context: Path, *more: str) -> str:
    digest = hashlib.sha256(context_archive(context))
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:12]


def _files(context: Path) -> list[Path]:
    return sorted(
        path for path in context.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
