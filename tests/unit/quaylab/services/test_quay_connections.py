"""The services that Quay's container connects to."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.services import quay_connections
from tests.unit.samples import build, host, one_host, settings

SERVICES = {"database": ("quaylab-database", 5432), "Redis": ("quaylab-redis", 6379)}
STORE = {"storage": "s3", "storage_host": "s3.example.com"}
PROXY = {"https_proxy": "http://proxy.example.com:3128"}


@pytest.mark.parametrize(
    ("changes", "store"),
    [
        ({}, {}),
        (STORE, {"object store": ("s3.example.com", 443)}),
        (
            STORE | PROXY | {"storage_proxy": True},
            {
                "object store": ("s3.example.com", 443),
                "proxy before the object store": ("proxy.example.com", 3128),
            },
        ),
        (STORE | PROXY, {"proxy before the object store": ("proxy.example.com", 3128)}),
        (
            STORE | {"https_proxy": "https://proxy.example.com"},
            {"proxy before the object store": ("proxy.example.com", 443)},
        ),
        (
            STORE | PROXY | {"no_proxy": "s3.example.com"},
            {"object store": ("s3.example.com", 443)},
        ),
        (PROXY, {}),
    ],
    ids=str,
)
def test_on_one_host(changes: dict[str, Any], store: dict[str, Any]) -> None:
    found = quay_connections.connections(settings(**changes), one_host(**changes))
    assert found == SERVICES | store


def test_services_elsewhere() -> None:
    changes: dict[str, Any] = {
        "database_host": "db.example.com",
        "redis_host": "r.example.com",
        "redis_port": 6380,
    }
    where = build([host("quay.example.com", ["quay"])], **changes)
    assert quay_connections.connections(settings(**changes), where) == {
        "database": ("db.example.com", 5432),
        "Redis": ("r.example.com", 6380),
    }
