"""Fixtures of the machine tier: the operator, and machines to deploy to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machine import drifting
from tests.machine.drifting import Deployed
from tests.machine.machines import ImageName, MachineFactory, Operator
from tests.machine.packaged import build_all
from tests.machine.stock import volume


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """The user who runs pyinfra, with an empty home and an SSH key that every machine accepts."""
    return Operator(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> ImageName:
    """The engine of the machines in a story that runs for each engine (engines.FOR_BOTH)."""
    name: ImageName = request.param
    return name


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The references of all packaged images by service; missing ones are built."""
    return build_all()


@pytest.fixture(scope="session")
def machine_factory(operator: Operator, images: dict[str, str]) -> Iterator[MachineFactory]:
    """Make machines; those that a test does not destroy are removed at the end of the session."""
    factory = MachineFactory(operator, volume(images.values()))
    try:
        yield factory
    finally:
        factory.close()


@pytest.fixture(scope="module")
def deployed(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Deployed:
    """Deploy a registry to a machine of its own with an engine (drifting.deployed)."""
    folder = tmp_path_factory.mktemp("registry")
    return lambda engine: drifting.deployed(machine_factory, operator, images, folder, engine)
