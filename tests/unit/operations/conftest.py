"""A whole registry in this process: database, Redis and Quay as small servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyinfra.connectors.local import LocalConnector

from quaylab import plan
from quaylab.engines.state import FoundVolume as Volume
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services.quay import STORAGE_VOLUME
from tests.unit.fake_host import FakeHost
from tests.unit.quaylab import small_quay, small_servers
from tests.unit.quaylab.small_quay import SmallQuay
from tests.unit.samples import certified, host, machine

NAME = "quay.example.com"


@dataclass
class Site:
    """The small servers' ports, and the settings with them."""

    quay: SmallQuay
    store: Store
    ports: dict[str, int]

    def lab(self, has_data: bool = False, **data: Any) -> Plan:
        hosts = [host(NAME, **{**self.ports, **data})]
        volumes = (Volume(STORAGE_VOLUME, {}),) if has_data else ()
        return plan.make(hosts, {NAME: machine(volumes=volumes)}, self.store)

    def host(self, facts: dict[Any, Any] | None = None) -> FakeHost:
        """Return this machine as a host, which needs no tunnel."""
        local = FakeHost(facts, NAME)
        local.connector = LocalConnector.__new__(LocalConnector)
        return local


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Iterator[Site]:
    credentials = certified(NAME)
    store.save(credentials)
    password = credentials.database_password.get_secret_value()
    redis_password = credentials.redis_password.get_secret_value()
    with (
        small_servers.serving(small_servers.PostgreSQL, password, "1") as database,
        small_servers.serving(small_servers.Redis, redis_password, "7.2.4") as redis,
        small_quay.serving(credentials, tmp_path) as quay,
    ):
        ports = {
            "database_port": database,
            "redis_port": redis,
            "quay_https_port": quay.server_port,
        }
        yield Site(quay, store, ports)
