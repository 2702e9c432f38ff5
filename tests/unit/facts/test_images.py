"""The images that a host has."""

from __future__ import annotations

from pathlib import Path

import pytest

from facts.images import Images
from quaylab.checks import fetched_images
from quaylab.checks.fetched_images import ImageState, note_path
from tests.unit.shell import Shell

# As `docker image inspect` answers: the images that exist, and a failure if one is missing.
IMAGES = """
shift 4; missing=0
for name; do
    case $name in here:*) echo sha256:1 here@sha256:2 ;; *) missing=1 ;; esac
done
test $missing = 0 || echo
exit $missing
"""


def test_images(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched_images, "IMAGE_NOTES", str(tmp_path))
    shell.stub("docker", IMAGES)
    # As an earlier version wrote it: digests only.
    Path(note_path("here:1")).write_text("here@sha256:2 mirror/here@sha256:2\n")
    Path(note_path("gone:1")).write_text("sha256:3\n")
    lines = shell.lines(Images().command(references=["here:1", "here:2", "gone:1"]))
    now = ("sha256:1", "here@sha256:2")
    assert Images().process(lines) == {
        "here:1": ImageState(now, ("here@sha256:2", "mirror/here@sha256:2")),
        "here:2": ImageState(now),
    }
