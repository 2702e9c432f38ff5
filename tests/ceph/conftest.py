"""Fixtures of the Ceph tier: the machine tier's, on machines of this session's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machine.conftest import images, machine_factory, operator

__all__ = ["images", "machine_factory", "operator"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ceph)
