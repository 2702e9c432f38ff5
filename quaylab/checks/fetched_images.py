"""Which image a name stood for when it was fetched: a container is made from no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.paths import IMAGE_NOTES


@dataclass(frozen=True)
class ImageState:
    """What identifies an image that a host has, and what did when it was fetched.

    Both are the image's id and its digests in registries; ``remembered`` is empty for an image
    that no run has seen yet.
    """

    identities: tuple[str, ...]
    remembered: tuple[str, ...] = ()

    @property
    def is_another(self) -> bool:
        """Whether the name was given to another image. One identity in common is enough: an image
        gets a digest more in each registry that it is pushed to."""
        return bool(self.remembered) and not {*self.remembered} & {*self.identities}


def note_path(reference: str) -> str:
    """The file on a host that remembers what identified an image when it was fetched."""
    return f"{IMAGE_NOTES}/{hashlib.sha256(reference.encode()).hexdigest()[:16]}"


def note(reference: str, state: ImageState) -> ManagedFile:
    """That file, for an image as it is now."""
    return ManagedFile(note_path(reference), " ".join(state.identities) + "\n")


def reported(machine: Machine, references: Iterable[str]) -> dict[str, ImageState] | None:
    """Some images as far as a host's report has them: those of its containers. None if it can't be
    told of one of them whether it is there."""
    wanted = list(references)
    if not machine.images.keys() >= set(wanted):
        return None
    return {
        reference: ImageState(
            machine.images[reference],
            tuple(machine.image_notes.get(note_path(reference), "").split()),
        )
        for reference in wanted
    }


def problems(host: str, images: Mapping[str, ImageState]) -> Iterator[str]:
    """Images of a host, by name, that are others than those once fetched."""
    for reference, state in images.items():
        if state.is_another:
            yield (
                f"{host}: {reference} is another image than the one that was fetched there "
                "before, and nothing was replaced; if the change is right, remove "
                f"{note_path(reference)} there and run again; if not, give the name back: docker "
                f"tag {state.remembered[0]} {reference}, or have it fetched again: docker image "
                f"rm {reference}"
            )
