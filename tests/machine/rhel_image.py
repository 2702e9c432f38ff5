"""The image of a machine that says it is RHEL 9; tests/machine/rhel has its files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.machine.machines import LABEL, build_image, building, has_image, run

SOURCE = Path(__file__).parent / "rhel"


def build() -> str:
    """Build the image, unless it is there; return its reference."""
    bare = build_image("bare")
    content = b"".join(path.read_bytes() for path in sorted(SOURCE.iterdir()))
    digest = hashlib.sha256(bare.encode() + content).hexdigest()[:12]
    reference = f"{LABEL}/rhel:{digest}"
    with building():
        if not has_image(reference):
            build = ["docker", "build", "--quiet", f"--build-arg=BARE={bare}", "--tag", reference]
            run("env", "DOCKER_BUILDKIT=0", *build, str(SOURCE))
    return reference
