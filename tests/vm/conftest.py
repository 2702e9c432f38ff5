"""Fixtures of the VM tier: libvirt, and a lab of one VM that all tests share."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.conftest import images, operator
from tests.machine.machines import Operator
from tests.machine.observed import IMAGE_OF
from tests.vm import image
from tests.vm.daemons import libvirt
from tests.vm.virtual_lab import VirtualLab, inventory_of_libvirt, sweep

__all__ = ["images", "operator"]


@pytest.fixture(scope="session")
def virtualisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """libvirt, for one session at a time: all sessions use the same names of networks and VMs."""
    image.CACHE.mkdir(parents=True, exist_ok=True)
    with (image.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with libvirt(tmp_path_factory.mktemp("libvirt") / "log"):
            sweep()
            try:
                yield
            finally:
                sweep()


@pytest.fixture(scope="session")
def cloud_image(virtualisation: None, images: dict[str, str]) -> Path:
    """The VM's image, with the container images of all services."""
    return image.build(images[part] for part in IMAGE_OF.values())


@pytest.fixture(scope="session")
def lab(
    cloud_image: Path,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[VirtualLab]:
    """The lab's inventory; nothing of it exists yet."""
    folder = tmp_path_factory.mktemp("lab")
    lab = VirtualLab(operator, folder, cloud_image, f"test-{os.getpid()}-vm")
    lab.base.unlink(missing_ok=True)  # of an earlier session, because teardowns leave it
    lab.write()
    yield lab
    lab.base.unlink(missing_ok=True)
    lab.deployment.forget()
    lab.known_hosts.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def before(lab: VirtualLab) -> dict[str, list[str]]:
    """What libvirt had before the tests."""
    return inventory_of_libvirt()
