"""Reading an inventory for tests/hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts import inventory


def test_an_inventory_that_exits(tmp_path: Path) -> None:
    path = tmp_path / "inventory.py"
    path.write_text("import sys\nsys.exit()\n")
    with pytest.raises(pytest.UsageError, match=r"inventory\.py: ends Python; leave the exit out"):
        inventory.read(path, [])
