"""Fixtures of the machine tier: who deploys, and machines to deploy to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machine.machines import MachineFactory, Operator
from tests.machine.packaged import build_all


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
