"""The picture of an inventory, for a terminal and for a page."""

from __future__ import annotations

from typing import Any

from quaylab import picture
from quaylab.services.base import Context
from tests.unit import clustered, fronted
from tests.unit.balanced import VIRTUAL
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


def _cluster() -> Context:
    """A database on three hosts, and beside them Quay with the only Redis."""
    return clustered.run(clustered.layout(clustered.inventory(parts=("database",))))


def test_a_database_on_several_hosts() -> None:
    lines = picture.text(_cluster(), "v3.18.0").splitlines()
    member = "etcd :2379 :2380   database :5432 :8008"
    assert lines[2:6] == [
        f"one.example.com    192.168.254.51  {member}",
        f"two.example.com    192.168.254.52  {member}",
        f"three.example.com  192.168.254.53  {member}",
        "quay1.example.com  192.168.254.31  redis :6379   router :5432   balancer :443 :80 :8404   "
        "quay :8443",
    ]
    flows = [(each.source, each.target, each.port) for each in picture.flows(_cluster())]
    assert flows[2:] == [
        ("quay", "object_store", 443),
        ("quay", "router", 5432),
        ("router", "database", 5432),
        ("quay", "redis", 6379),
        ("router", "database", 8008),
        ("database", "etcd", 2379),
        ("etcd", "etcd", 2380),
    ]


def test_a_router_leads_to_configured_ports() -> None:
    run = clustered.run(database_port=5433, patroni_port=8009, redis_port=6380)
    flows = {(each.source, each.target, each.port) for each in picture.flows(run)}
    assert {
        ("quay", "router", 5432),
        ("router", "database", 5433),
        ("router", "database", 8009),
        ("quay", "router", 6379),
        ("router", "redis", 6380),
    } <= flows


def test_each_quay_uses_the_router_on_its_own_host() -> None:
    lines = [line.strip() for line in picture.mermaid(clustered.run()).splitlines()]
    for port in (5432, 6379):
        found = [line for line in lines if line.startswith("quay") and f"|{port}|" in line]
        assert found == [f"quay{number} -->|{port}| router{number}" for number in range(3)]
    assert "router0 & router1 & router2 -->|6379| redis0 & redis1 & redis2" in lines


def test_flowchart_of_a_cluster() -> None:
    lines = picture.mermaid(_cluster()).splitlines()
    assert "    quay3 -->|5432| router3" in lines
    assert "    router3 -->|5432| database0 & database1 & database2" in lines
    assert "    database0 & database1 & database2 -->|2379| etcd0 & etcd1 & etcd2" in lines
    assert not [line for line in lines if "elsewhere" in line and "object" not in line]


def _ceph() -> Context:
    """Two balancers in front of the gateways of three hosts."""
    return fronted.run(fronted.layout(virtual_address=VIRTUAL), virtual_address=VIRTUAL)


def test_balancers_in_front_of_ceph() -> None:
    flows = [(each.source, each.target, each.port, each.how) for each in picture.flows(_ceph())]
    assert ("quay", "ingress", 7443, VIRTUAL) in flows
    assert ("ingress", "ceph", 7480, "a gateway that answers") in flows
    lines = [line.strip() for line in picture.mermaid(_ceph()).splitlines()]
    (line,) = [line for line in lines if "-->|7480|" in line]
    assert line.startswith("ingress") and line.count("ceph") == 3
    assert not [line for line in lines if "elsewhere" in line]
