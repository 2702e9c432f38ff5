"""The engines that a story runs for: Docker in the tier `machine`, Podman in the tier `podman`."""

from __future__ import annotations

import pytest

PODMAN = pytest.param("podman", marks=pytest.mark.podman)
# For a module's tests that use the fixture `engine`.
FOR_BOTH = pytest.mark.parametrize("engine", ["docker", PODMAN], indirect=True, scope="module")


def settings(engine: str) -> dict[str, str]:
    """Return the settings that choose an engine on Debian, where Docker is the default."""
    return {"container_engine": engine} if engine == "podman" else {}


def stop(engine: str, name: str) -> str:
    """Return the command that stops a container so that it stays so: systemd starts one of Podman's
    again that ended without it. It is then removed, as after `docker rm`."""
    return f"systemctl stop {name}" if engine == "podman" else f"docker stop {name}"


def remove(engine: str, name: str) -> str:
    """Return the command that removes a running container."""
    return f"systemctl stop {name}" if engine == "podman" else f"docker rm --force {name}"
