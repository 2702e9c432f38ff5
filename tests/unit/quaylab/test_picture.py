"""The picture of an inventory, for a terminal and for a page."""

from __future__ import annotations

from typing import Any

from quaylab import picture
from quaylab.services.base import Context
from tests.unit.samples import build, context, host

STORE = {"storage": "s3", "storage_host": "objects.example.com", "storage_region": None}


def _three(**changes: Any) -> Context:
    """Three balancers and nodes, with Redis on the first; the database runs elsewhere."""
    hosts = [
        host(f"n{n}", ["quay", "balancer", *(["redis"] if n == 1 else [])], address=f"10.0.0.1{n}")
        for n in (1, 2, 3)
    ]
    given = {
        "server_hostname": "quay.example.com",
        "virtual_address": "10.0.0.10",
        "database_host": "sql.example.com",
        **STORE,
        **changes,
    }
    return context(build(hosts, **given), **given)


def test_one_host() -> None:
    assert picture.text(context(), "v3.18.0").splitlines() == [
        "https://quay.example.com, Quay v3.18.0",
        "",
        "quay.example.com  this host only  database :5432   redis :6379   quay :443 :80",
        "",
        "clients ──▶ quay :443       quay.example.com",
        "   quay ──▶ database :5432  quaylab-database",
        "   quay ──▶ redis :6379     quaylab-redis",
    ]


def test_balancers_in_front_of_nodes() -> None:
    lines = picture.text(_three(), "v3.18.0").splitlines()
    assert lines[2:5] == [
        "n1  10.0.0.11  redis :6379   balancer :443 :80 :8404   quay :8443",
        "n2  10.0.0.12  balancer :443 :80 :8404   quay :8443",
        "n3  10.0.0.13  balancer :443 :80 :8404   quay :8443",
    ]
    assert lines[6:] == [
        " clients ──▶ balancer :443      10.0.0.10, held by one of n1, n2, n3",
        "balancer ──▶ quay :8443         3 nodes",
        "    quay ──▶ object store :443  objects.example.com, which runs elsewhere",
        "    quay ──▶ database :5432     sql.example.com, which runs elsewhere",
        "    quay ──▶ redis :6379        10.0.0.11",
    ]


def test_a_balancer_that_runs_elsewhere() -> None:
    given: dict[str, Any] = {
        "balancer_host": "lb.example.com",
        "server_hostname": "quay.example.com",
        **STORE,
    }
    hosts = [
        host("n1", ["quay", "database", "redis"], address="10.0.0.11"),
        host("n2", ["quay"], address="10.0.0.12"),
    ]
    found = list(picture.flows(context(build(hosts, **given), **given)))
    assert found[:2] == [
        picture.Flow("clients", "balancer", 443, "lb.example.com, which runs elsewhere"),
        picture.Flow("balancer", "quay", 443, "2 nodes"),
    ]


def test_flowchart() -> None:
    """Every service that is drawn in a host is connected by its name there."""
    lines = picture.mermaid(_three()).splitlines()
    assert lines[0] == "flowchart LR"
    assert '    subgraph host0["n1<br>10.0.0.11"]' in lines
    assert "    clients -->|443| balancer0 & balancer1 & balancer2" in lines
    assert "    balancer0 & balancer1 & balancer2 -->|8443| quay0 & quay1 & quay2" in lines
    assert "    quay0 & quay1 & quay2 -->|6379| redis0" in lines
    assert (
        '    quay0 & quay1 & quay2 -->|5432| databaseelsewhere["database<br>sql.example.com"]'
        in lines
    )
