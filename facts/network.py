"""What a container can reach."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import StringCommand
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.services.quay_connections import REACH


class UnreachableTargets(FactBase[dict[tuple[str, int], str]]):
    """The addresses and ports that a container can't reach, with the reason.

    A container has its own names and routes: Docker's doesn't read the host's /etc/hosts, Podman's
    has the one from when it was started, and the host forwards what it sends.

    + container: the container's name
    + image: its image
    + inside: try in the container first, which ran when the run began; then, or else, in another
      container of its image: the last commands of a killed run may be replacing it
    + targets: the addresses and ports
    """

    def command(
        self, container: str, image: str, inside: bool, targets: Iterable[tuple[str, int]]
    ) -> StringCommand:
        words = [str(word) for target in targets for word in target]
        engine, places = host_engine(), (True, False) if inside else (False,)
        tried = " || ".join(
            f"output=$({engine.reach(container, image, REACH, 'reach', *words, inside=place)} "
            "2>/dev/null)"
            for place in places
        )
        printed = 'test -z "$output" || printf \'%s\\n\' "$output"'
        return StringCommand(f"{{ {tried}; }} && {{ {printed}; }}")

    @staticmethod
    def default() -> dict[tuple[str, int], str]:
        return {}

    def process(self, output: list[str]) -> dict[tuple[str, int], str]:
        found = {}
        for line in output:
            address, port, reason = line.split(" ", 2)
            found[address, int(port)] = reason.rpartition(": ")[2]
        return found
