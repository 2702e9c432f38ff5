"""The images that a host has."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.checks.fetched_images import ImageState, note_path


class Images(FactBase[dict[str, ImageState]]):
    """The states of images that the host has, by name."""

    def command(self, references: list[str]) -> StringCommand:
        pairs = [word for each in references for word in (each, note_path(each))]
        return StringCommand(
            "set --", *(QuoteString(word) for word in pairs), ";", host_engine().image_report
        )

    @staticmethod
    def default() -> dict[str, ImageState]:
        return {}

    def process(self, output: list[str]) -> dict[str, ImageState]:
        found = {}
        for line in filter(None, output):
            reference, identities, remembered = line.split("|")
            found[reference] = ImageState(tuple(identities.split()), tuple(remembered.split()))
        return found
