"""Container engines: commands from specifications, and state from the engine's output."""

from __future__ import annotations

from quaylab.engines.base import ContainerEngine
from quaylab.engines.docker import DOCKER
from quaylab.engines.quadlet import PODMAN

ENGINES: tuple[ContainerEngine, ...] = (DOCKER, PODMAN)
BY_NAME = {engine.name: engine for engine in ENGINES}
