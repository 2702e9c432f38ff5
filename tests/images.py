"""Build the images of the tiers on machines; ``./lab test`` does it while the fast tests run.

Usage: python -m tests.images PATH…, with the tests that will run. What is there is not built again.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from tests.machine.machines import build_image
from tests.machine.observed import IMAGE_OF
from tests.machine.packaged import build_all
from tests.machine.stock import volume
from tests.vm import image


def main(paths: Sequence[str]) -> None:
    images = build_all()
    build_image("bare")
    build_image("docker")
    build_image("podman")
    volume(images.values())
    if any(path.startswith("tests/vm") for path in paths):
        image.build(images[part] for part in IMAGE_OF.values())


if __name__ == "__main__":
    # So that what is half built is removed when the fast tests fail.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    main(sys.argv[1:])
