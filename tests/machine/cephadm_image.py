"""An image for cephadm where no registry is reachable: Debian's, with a manager that can load it.

Debian's python3-bcrypt and python3-cryptography can't be loaded into the manager's interpreters
(they are PyO3's); these older ones from PyPI can.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.machine.machines import LABEL, has_image, run

WHEELS = ("bcrypt==3.2.2", "cryptography==3.3.2", "pyOpenSSL==20.0.1", "six==1.17.0")
DOCKERFILE = """\
ARG BASE
FROM ${BASE}
COPY older /opt/older
ENV PYTHONPATH=/opt/older
"""


def build(base: str) -> str:
    """Build the image on top of the packaged one; return its reference."""
    digest = hashlib.sha256("".join((base, DOCKERFILE, *WHEELS)).encode()).hexdigest()[:12]
    reference = f"{LABEL}/cephadm:{digest}"
    if has_image(reference):
        return reference
    command = ["docker", "build", "--quiet", "--tag", reference, f"--build-arg=BASE={base}", "-"]
    run("env", "DOCKER_BUILDKIT=0", *command, input=_context())
    return reference


def _context() -> bytes:
    platforms = [f"--platform=manylinux{tag}_x86_64" for tag in ("2014", "2010")]
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps")
    context = io.BytesIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        tarfile.open(fileobj=context, mode="w") as archive,
    ):
        run(
            *(*pip, f"--dest={folder}", "--only-binary=:all:", "--abi=abi3", "--abi=none"),
            *(*platforms, *WHEELS),
        )
        _add(archive, "Dockerfile", DOCKERFILE.encode())
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as content:
                for name in content.namelist():
                    if not name.endswith("/"):
                        _add(archive, f"older/{name}", content.read(name))
    return context.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
