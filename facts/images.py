"""The images that a host has."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.checks.fetched_images import ImageState, note_path

IDENTITIES = "{{.Id}}{{range .RepoDigests}} {{.}}{{end}}"


class Images(FactBase[dict[str, ImageState]]):
    """Those of some images that a host has, by name."""

    def requires_command(self, references: list[str]) -> str:
        return "docker"

    def command(self, references: list[str]) -> StringCommand:
        pairs = [word for each in references for word in (each, note_path(each))]
        return StringCommand(
            "set --", *(QuoteString(word) for word in pairs), "; while test $# -gt 0; do",
            "if identities=$(docker image inspect --format", QuoteString(IDENTITIES),
            '"$1" 2>/dev/null); then',
            'echo "$1|$identities|$(cat "$2" 2>/dev/null | tr -cd "[:alnum:]@:/._ -")"; fi;',
            "shift 2; done",
        )  # fmt: skip

    @staticmethod
    def default() -> dict[str, ImageState]:
        return {}

    def process(self, output: list[str]) -> dict[str, ImageState]:
        found = {}
        for line in filter(None, output):
            reference, identities, remembered = line.split("|")
            found[reference] = ImageState(tuple(identities.split()), tuple(remembered.split()))
        return found
