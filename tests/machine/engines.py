"""The engines that a story runs for: Docker in the tier `machine`, Podman in the tier `podman`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from quaylab.images import base_image
from tests.machine.machines import ImageName, Machine, MachineFactory
from tests.machine.observed import IMAGE_OF

PODMAN = pytest.param("podman", marks=pytest.mark.podman)
# For a module's tests that use the fixture `engine`.
FOR_BOTH = pytest.mark.parametrize("engine", ["docker", PODMAN], indirect=True, scope="module")


def settings(engine: str) -> dict[str, str]:
    """Return the settings that choose an engine on Debian, where Docker is the default."""
    return {"container_engine": engine} if engine == "podman" else {}


def machine(
    factory: MachineFactory,
    name: str,
    engine: ImageName,
    images: dict[str, str],
    needed: Iterable[str] = IMAGE_OF.values(),
) -> Machine:
    """Return a machine with this engine, which has the packaged images of a registry.

    Args:
        needed: the keys of ``images`` that a machine gets if loading all of them would take long.
    """
    if engine == "docker":
        return factory(name, "stocked")
    made = factory(name, engine)
    made.load_images([base_image().reference, *(images[each] for each in needed)])
    return made


def stop(engine: str, name: str) -> str:
    """Return the command that stops a container so that it stays so: systemd starts one of Podman's
    again that ended without it. It is then removed, as after `docker rm`."""
    return f"systemctl stop {name}" if engine == "podman" else f"docker stop {name}"


def start(engine: str, name: str) -> str:
    """Return the command that starts a container that :func:`stop` has stopped."""
    return f"systemctl start {name}" if engine == "podman" else f"docker start {name}"


def repeated_after_a_restart(engine: str) -> list[str]:
    """Return the operations that a run repeats after a reboot: Podman's containers are new ones, so
    Quay is verified again."""
    return ["tasks/verify.py | Verify: log in, push, pull, delete"] if engine == "podman" else []


def remove(engine: str, name: str) -> str:
    """Return the command that removes a running container."""
    return f"systemctl stop {name}" if engine == "podman" else f"docker rm --force {name}"
