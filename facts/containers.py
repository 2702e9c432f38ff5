"""Our containers, networks and volumes, and the files that containers read."""

from __future__ import annotations

from pyinfra.api import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.engines.state import NOTHING, EngineState


class Engine(FactBase[EngineState]):
    """Containers, networks, volumes and files of Quaylab's, in one command."""

    def command(self) -> str:
        return host_engine().objects

    @staticmethod
    def default() -> EngineState:
        return NOTHING

    def process(self, output: list[str]) -> EngineState:
        try:
            return host_engine().parse_objects(output).state
        except ValueError as error:
            raise FactProcessError(f"the engine's state can't be read: {error}") from error


class Succeeds(FactBase[bool]):
    """Whether a shell command succeeds in a container.

    + container: the container's name
    + command: the command
    """

    def command(self, container: str, command: str) -> StringCommand:
        return StringCommand(
            host_engine().execute(container, command), ">/dev/null 2>&1 && echo yes || :"
        )

    @staticmethod
    def default() -> bool:
        return False

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]
