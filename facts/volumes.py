"""The sizes of an engine's volumes."""

from __future__ import annotations

import shlex

from pyinfra.api.facts import FactBase

from facts.engines import host_engine


class VolumeSizes(FactBase[dict[str, int]]):
    """The kB that volumes of the engine's own take up, by name; without those whose directory is
    gone.

    + volumes: their names
    """

    def command(self, volumes: list[str]) -> str:
        return "\n".join(
            f"printf '%s %s\\n' {shlex.quote(name)} "
            f'"$(du -sk "$({host_engine().mountpoint(name)})" | cut -f 1)"'
            for name in volumes
        )

    @staticmethod
    def default() -> dict[str, int]:
        return {}

    def process(self, output: list[str]) -> dict[str, int]:
        sizes = (line.split() for line in output)
        return {name: int(size) for name, *rest in sizes for size in rest}
