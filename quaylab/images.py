"""Where a container's image comes from: a registry, an archive, or Debian's packages."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quaylab.paths import IMAGES

# The build arguments that name images.
BASES = ("BASE", "ETCD")


@dataclass(frozen=True)
class Image:
    """An image that a host needs. ``context`` is the build context of an image that it builds."""

    reference: str
    source: str
    context: Path | None = None
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def tag(self) -> str:
        return self.reference.rpartition(":")[2]


def base_image() -> Image:
    """Return the Debian base of all packaged images; its context holds a script."""
    context = IMAGES / "base"
    return Image(f"quaylab/base:trixie-{_digest(context)}", "packages", context)


def packaged_image(
    folder: str, version: str, name: str | None = None, arguments: Mapping[str, str] | None = None
) -> Image:
    """Return the image of ``images/FOLDER``. Its tag holds a digest of the folder's content.

    Args:
        name: the image's name, by default the folder's.
        arguments: further build arguments.
    """
    context = IMAGES / folder
    base = base_image().reference
    tag = f"{version}-{_digest(context, base)}"
    return Image(
        f"quaylab/{name or folder}:{tag}",
        "packages",
        context,
        (("BASE", base), *(arguments or {}).items()),
    )


def derived_image(folder: str, base: Image, arguments: Mapping[str, str] | None = None) -> Image:
    """Return the image of ``images/FOLDER`` on top of another, which may be a registry's.

    Args:
        arguments: further build arguments.
    """
    context = IMAGES / folder
    more = dict(arguments or {})
    return Image(
        f"quaylab/{folder}:{base.tag}-{_digest(context, base.reference, *more.values())}",
        base.source,
        context,
        (("BASE", base.reference), *more.items()),
    )


def full_name(reference: str) -> str:
    """Return an image's name with its registry, which is docker.io where it names none."""
    first, slash, _ = reference.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return reference
    return f"docker.io/{reference}" if slash else f"docker.io/library/{reference}"


def with_bases(image: Image, *bases: Image) -> tuple[Image, ...]:
    """Return the images that a host needs for a derived one, which comes last: those it is built
    from, unless an archive holds it."""
    return (image,) if image.source == "archive" else (*bases, image)


def context_archive(context: Path) -> bytes:
    """Return a build context as a tar archive, the same bytes for the same content."""
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
