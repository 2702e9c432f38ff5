"""Images for tests on top of a packaged one, with what wheels from PyPI hold."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tests.machine.machines import LABEL, has_image, run

PLATFORMS = [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "2010", "_2_28")]


def build(name: str, base: str, wheels: Sequence[str], dockerfile: str) -> str:
    """Build an image, unless it is there; return its reference.

    Args:
        wheels: their names and versions; their contents are in ``wheels`` of the build's context.
        dockerfile: it begins with the argument BASE.
    """
    digest = hashlib.sha256("".join((base, dockerfile, *wheels)).encode()).hexdigest()[:12]
    reference = f"{LABEL}/{name}:{digest}"
    if has_image(reference):
        return reference
    command = ["docker", "build", "--quiet", "--tag", reference, f"--build-arg=BASE={base}", "-"]
    run("env", "DOCKER_BUILDKIT=0", *command, input=_context(wheels, dockerfile))
    return reference


def _context(wheels: Sequence[str], dockerfile: str) -> bytes:
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
    tags = ("--only-binary=:all:", "--abi=abi3", "--abi=none", *PLATFORMS)
    context = io.BytesIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=context, mode="w") as archive,
    ):
        run(*pip, f"--dest={folder}", *tags, *wheels)
        _add(archive, "Dockerfile", dockerfile.encode())
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as content:
                for file in content.namelist():
                    if not file.endswith("/"):
                        _add(archive, f"wheels/{file}", content.read(file))
    return context.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
