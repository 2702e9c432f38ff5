"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaylab import plan
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit.samples import CREDENTIALS, host, machine
from tests.unit.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A credentials file, as an earlier run would have saved it."""
    saved = Store("lab", tmp_path / "credentials")
    saved.path.parent.mkdir(0o700)
    saved.save(CREDENTIALS)
    return saved


@pytest.fixture
def lab(store: Store) -> Plan:
    """The plan for one host with all services."""
    name = "quay.example.com"
    return plan.make([host(name)], {name: machine()}, store)
