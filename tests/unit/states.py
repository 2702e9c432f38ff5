"""What an engine reports of containers that run as specified."""

from __future__ import annotations

import dataclasses
from typing import Any

from quaylab.engines.state import ContainerState, EngineState, WrittenFile
from quaylab.model import NETWORK, Container


def state(wanted: Container, **changes: Any) -> ContainerState:
    """Return the state of a container that runs as specified, with some changes."""
    found = ContainerState(
        id="c0ffee",
        image=wanted.image,
        image_was_retagged=False,
        digest=wanted.digest,
        version=wanted.version,
        state="running",
        health="healthy",
        started=1000.0,
        restart_policy="always",
        command=wanted.command,
        environment={"PATH": "/bin", **dict(wanted.environment)},
        image_environment={"PATH": "/bin"},
        networks={NETWORK: "n1"},
        ports=frozenset(str(port) for port in wanted.ports),
        mounts={mount.target: mount.source for mount in wanted.mounts},
    )
    return dataclasses.replace(found, **changes)


def engine(
    wanted: Container, volumes: tuple[str, ...] = (), written: float = 0, **changes: Any
) -> EngineState:
    """Return an engine with that container; ``written`` is when its files were last written."""
    return EngineState(
        {wanted.name: state(wanted, **changes)},
        {NETWORK: "n1"},
        volumes,
        {path: WrittenFile(sha256, written) for path, sha256 in wanted.files},
    )
