"""An image is identified by its id or a digest; a name that means another image is refused."""

from __future__ import annotations

import pytest

from quaylab.checks.fetched_images import ImageState, note, note_path, problems
from quaylab.engines import DOCKER

REFERENCE = "quay.io/projectquay/quay:v3.18.0"
DIGEST = "quay.io/projectquay/quay@sha256:2"
MIRROR = "mirror.example.com/quay@sha256:4"


@pytest.mark.parametrize(
    ("identities", "remembered", "another"),
    [
        (("sha256:1", DIGEST), ("sha256:1", DIGEST), False),
        (("sha256:1", DIGEST, MIRROR), ("sha256:1", DIGEST), False),
        (("sha256:1", DIGEST), (DIGEST, MIRROR), False),
        (("sha256:1",), ("sha256:1", DIGEST), False),
        (("sha256:5", DIGEST), ("sha256:1", DIGEST), False),
        (("sha256:1", DIGEST), (), False),
        (("sha256:3",), ("sha256:1", DIGEST), True),
        (("sha256:3", MIRROR), (DIGEST,), True),
    ],
    ids=[
        "the same",
        "pushed to another registry",
        "note of an earlier version",
        "from an archive",
        "another image store",
        "never seen",
        "tagged by hand",
        "pulled by hand",
    ],
)
def test_another_image(
    identities: tuple[str, ...], remembered: tuple[str, ...], another: bool
) -> None:
    assert ImageState(identities, remembered).has_changed is another


def test_problem_names_the_image_and_all_remedies() -> None:
    state = ImageState(("sha256:3",), ("sha256:1", DIGEST))
    (problem,) = problems("db", {REFERENCE: state, "redis:8": ImageState(("sha256:9",))}, DOCKER)
    assert problem.startswith(f"db: {REFERENCE} is another image")
    for remedy in (
        f"remove {note_path(REFERENCE)}",
        f"docker tag sha256:1 {REFERENCE}",
        f"docker image rm {REFERENCE}",
    ):
        assert remedy in problem


def test_note() -> None:
    file = note(REFERENCE, ImageState(("sha256:1", DIGEST)))
    assert (file.path, file.content) == (note_path(REFERENCE), f"sha256:1 {DIGEST}\n")
