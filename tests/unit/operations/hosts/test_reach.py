"""Connections from this machine to what a host can reach."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pyinfra.connectors.ssh import SSHConnector

from operations.hosts import reach
from quaylab.clients.registry import RegistryError
from tests.unit.fake_host import FakeHost
from tests.unit.operations.conftest import Site


def test_this_machine_is_reached_directly(site: Site) -> None:
    with reach.tunnel(site.host(), "10.0.0.9", 6379) as target:  # type: ignore[arg-type]
        assert target == ("10.0.0.9", 6379)


def test_ssh_hosts_are_reached_through_a_forward() -> None:
    host = FakeHost()
    connector = SSHConnector.__new__(SSHConnector)
    connector.client = SimpleNamespace(get_transport=lambda: object())  # type: ignore[assignment]
    host.connector = connector
    with reach.tunnel(host, "10.0.0.9", 6379) as (address, port):  # type: ignore[arg-type]
        assert address == "127.0.0.1"
        assert port != 6379


def test_other_hosts_cannot_be_reached() -> None:
    with pytest.raises(RegistryError, match="only SSH and @local hosts can"):
        reach.tunnel(FakeHost(), "10.0.0.9", 6379)  # type: ignore[arg-type]


def test_the_registry_is_reached_under_its_own_name(site: Site) -> None:
    with reach.registry(site.host(), site.lab()) as quay:  # type: ignore[arg-type]
        assert quay.registry == f"quay.example.com:{site.quay.server_port}"
        assert quay.health().ok
