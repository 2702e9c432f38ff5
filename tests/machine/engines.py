"""The engines that a story runs for: Docker in the tier `machine`, Podman in the tier `podman`."""

from __future__ import annotations

import pytest

PODMAN = pytest.param("podman", marks=pytest.mark.podman)
# For a story that shows little more of Podman than others do.
LONG_PODMAN = pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.long])
BOTH = ("docker", PODMAN)


def stop(engine: str, container: str) -> str:
    """Return the command that stops a container so that it stays so: systemd would start one of
    Podman's again that ended without it."""
    return f"systemctl stop {container}" if engine == "podman" else f"docker stop {container}"
