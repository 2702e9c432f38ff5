"""What a container can reach."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import StringCommand
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.services.quay_connections import REACH


class UnreachableTargets(FactBase[dict[tuple[str, int], str]]):
    """The addresses and ports that a container can't reach, with the reason.

    A container has its own names and routes: it doesn't read the host's /etc/hosts, and the host
    forwards what it sends.

    + container: the container's name
    + image: its image
    + inside: try in the container, which has to run; else in another container of its image
    + targets: the addresses and ports
    """

    def command(
        self, container: str, image: str, inside: bool, targets: Iterable[tuple[str, int]]
    ) -> StringCommand:
        words = [str(word) for target in targets for word in target]
        return StringCommand(
            host_engine().reach(container, image, REACH, "reach", *words, inside=inside),
            "2>/dev/null",
        )

    @staticmethod
    def default() -> dict[tuple[str, int], str]:
        return {}

    def process(self, output: list[str]) -> dict[tuple[str, int], str]:
        found = {}
        for line in output:
            address, port, reason = line.split(" ", 2)
            found[address, int(port)] = reason.rpartition(": ")[2]
        return found
