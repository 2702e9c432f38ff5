"""Fixtures of the machine tier: who deploys, and machines to deploy to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machines import MachineFactory, Operator
from tests.machine.packaged import build_all


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every test in this folder is one of the tier, so that none is left out by forgetting it;
    those that take long are left out unless asked for."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.machine)
    if not config.getoption("all"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Who runs pyinfra, with an empty home and an SSH key that every machine accepts."""
    return Operator(tmp_path_factory.mktemp("operator"))


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """The references of all packaged images by part, built where they are missing."""
    return build_all()


@pytest.fixture(scope="session")
def machine_factory(operator: Operator) -> Iterator[MachineFactory]:
    """Makes machines; those that a test does not destroy go at the end of the session."""
    factory = MachineFactory(operator)
    try:
        yield factory
    finally:
        factory.close()
