"""The identity of each image when it was fetched: a changed image is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quaylab.engines import ContainerEngine
from quaylab.hosts.machine import Machine
from quaylab.images import full_name
from quaylab.model import ManagedFile
from quaylab.paths import IMAGE_NOTES


@dataclass(frozen=True)
class ImageState:
    """The identity of an image on a host, now and when it was fetched.

    Both are the image's id and its digests in registries; ``remembered`` is empty for an image
    that no run has recorded yet.
    """

    identities: tuple[str, ...]
    remembered: tuple[str, ...] = ()

    @property
    def has_changed(self) -> bool:
        """Whether the name now means another image. One common identity is enough: an image gets
        another digest in each registry that it is pushed to."""
        return bool(self.remembered) and not {*self.remembered} & {*self.identities}


def note_path(reference: str) -> str:
    """Return the file on a host that records the identity of a fetched image."""
    return f"{IMAGE_NOTES}/{hashlib.sha256(reference.encode()).hexdigest()[:16]}"


def note(reference: str, state: ImageState) -> ManagedFile:
    """Return that file for an image as it is now."""
    return ManagedFile(note_path(reference), " ".join(state.identities) + "\n")


def from_report(machine: Machine, references: Iterable[str]) -> dict[str, ImageState] | None:
    """Return the state of images from a host's report, which has those of its containers.

    Returns:
        The state by reference; None if the report lacks one of the images.
    """
    wanted = list(references)
    if not machine.images.keys() >= {full_name(reference) for reference in wanted}:
        return None
    return {
        reference: ImageState(
            machine.images[full_name(reference)],
            tuple(machine.image_notes.get(note_path(reference), "").split()),
        )
        for reference in wanted
    }


def problems(host: str, images: Mapping[str, ImageState], engine: ContainerEngine) -> Iterator[str]:
    """Yield images of a host's engine, by name, that have changed since they were fetched."""
    for reference, state in images.items():
        if state.has_changed:
            yield (
                f"{host}: {reference} is another image than the one that was fetched there "
                "before, and nothing was replaced; if the change is right, remove "
                f"{note_path(reference)} there and run again; if not, give the name back: "
                f"{engine.tag_command(state.remembered[0], reference)}, or have it fetched again: "
                f"{engine.remove_image_command(reference)}"
            )
