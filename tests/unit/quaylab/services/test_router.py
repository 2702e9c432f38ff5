"""The router on each of Quay's hosts: where it runs, its ports, its container and its file."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.services import BY_NAME
from quaylab.services.base import Audience, Context
from quaylab.topology import Topology
from tests.unit import balanced, clustered
from tests.unit.clustered import ADDRESSES, HOSTS, ONE, TWO, workload
from tests.unit.samples import build, host

CREDENTIALS = clustered.credentials()
QUAY = balanced.QUAYS[0]


def _run(where: Topology | None = None, **changes: Any) -> Context:
    return clustered.run(where, CREDENTIALS, **changes)


def _with(databases: int, redises: int) -> Topology:
    """Return the topology of one Quay host and so many hosts of each service it uses."""
    hosts = [host(QUAY, ["quay"], address=balanced.ADDRESSES[QUAY])]
    for number, name in enumerate(HOSTS):
        limits = {"database": databases, "redis": redises}
        parts = [part for part, limit in limits.items() if number < limit]
        if parts:
            hosts.append(host(name, parts, address=ADDRESSES[name]))
    return build(hosts)


def _configuration(run: Context, name: str) -> str:
    (found,) = (
        file.content for file in workload("router", run, name).files if file.path.endswith(".cfg")
    )
    return found


# --- where it runs ---


@pytest.mark.parametrize(
    ("databases", "redises", "runs"),
    [(1, 1, False), (3, 1, True), (1, 2, True), (3, 3, True)],
)
def test_it_runs_where_quay_does_if_a_service_has_several_hosts(
    databases: int, redises: int, runs: bool
) -> None:
    assert _with(databases, redises).hosts["router"] == ((QUAY,) if runs else ())


def test_each_quay_host_has_one() -> None:
    assert clustered.layout().hosts["router"] == HOSTS[:3]


# --- its ports ---


@pytest.mark.parametrize(
    ("databases", "redises", "ports"),
    [
        (3, 1, [("database_port", "127.0.0.1:5432:5432")]),
        (1, 2, [("redis_port", "127.0.0.1:6379:6379")]),
        (
            3,
            2,
            [("database_port", "127.0.0.1:5432:5432"), ("redis_port", "127.0.0.1:6379:6379")],
        ),
    ],
)
def test_the_host_alone_reaches_what_has_several_hosts(
    databases: int, redises: int, ports: list[tuple[str, str]]
) -> None:
    found = BY_NAME["router"].ports(_run(_with(databases, redises)), QUAY)
    assert [(port.setting, str(port.published)) for port in found] == ports
    assert {port.audience for port in found} == {Audience.NOBODY}


def test_it_publishes_the_configured_ports() -> None:
    run = _run(database_port=5433, redis_port=6380)
    ports = [str(port.published) for port in BY_NAME["router"].ports(run, ONE)]
    assert ports == ["127.0.0.1:5433:5432", "127.0.0.1:6380:6379"]


def test_a_host_with_everything_has_each_port_once() -> None:
    """The router publishes on loopback, and the member beside it at the host's address."""
    run = _run()
    published = [
        str(port.published)
        for service in ("database", "redis", "etcd", "router")
        for port in BY_NAME[service].ports(run, ONE)
    ]
    assert len({each.rpartition(":")[0] for each in published}) == len(published) == 7


# --- the container ---


def test_it_is_haproxy_as_nobody_in_particular() -> None:
    found = workload("router", _run())
    assert found.container.name == "quaylab-router"
    assert found.container.command == ("haproxy", "-db", "-f", "/etc/quaylab/haproxy.cfg")
    assert found.container.user == "99"
    assert not found.container.privileged
    assert not found.container.host_network
    assert found.volume is None
    assert (
        found.interruption == "Quay on this host can't reach database and Redis for a few seconds"
    )


def test_the_image_is_the_balancers() -> None:
    run = _run()
    assert BY_NAME["router"].images(run, ONE) == BY_NAME["balancer"].images(run, ONE)


@pytest.mark.parametrize(
    ("databases", "names"), [(1, {"haproxy.cfg"}), (3, {"haproxy.cfg", "ca.pem"})]
)
def test_members_are_verified_by_the_labs_ca(databases: int, names: set[str]) -> None:
    files = workload("router", _run(_with(databases, 3)), QUAY).files
    assert {file.path.rpartition("/")[2] for file in files} == names
    assert {(file.uid, file.mode) for file in files} == {(99, 0o400)}
    assert "KEY" not in "".join(file.content for file in files)


@pytest.mark.parametrize(
    ("changes", "replaced"),
    [
        ({"database_port": 5433}, True),
        ({"patroni_port": 8009}, True),
        ({"redis_port": 6380}, True),
        ({"etcd_port": 2479}, False),
    ],
    ids=str,
)
def test_another_configuration_replaces_it(changes: dict[str, Any], replaced: bool) -> None:
    before, after = (workload("router", run).container.digest for run in (_run(), _run(**changes)))
    assert (before != after) is replaced


def test_a_new_certificate_of_the_members_replaces_no_router() -> None:
    renewed = CREDENTIALS.model_copy(update={"database_certificate": "another"})
    after = workload("router", clustered.run(given=renewed))
    assert after == workload("router", _run())


# --- its file ---


def test_all_routers_have_the_same_file() -> None:
    """Else Quay's hosts would talk to different Redises."""
    assert len({_configuration(_run(), name) for name in HOSTS[:3]}) == 1


def test_it_leads_to_the_members_and_to_redis_in_the_inventorys_order() -> None:
    text = _configuration(_run(), TWO)
    servers = [line.split()[1:3] for line in text.splitlines() if line.startswith("    server ")]
    assert servers == [
        *([name, f"{ADDRESSES[name]}:5432"] for name in HOSTS[:3]),
        *([name, f"{ADDRESSES[name]}:6379"] for name in HOSTS[:3]),
    ]
    assert " verifyhost quaylab-router port 8008 " in text


@pytest.mark.parametrize(
    ("databases", "redises", "sections"),
    [(3, 1, ["database"]), (1, 2, ["redis"]), (3, 2, ["database", "redis"])],
)
def test_a_single_host_is_reached_without_it(
    databases: int, redises: int, sections: list[str]
) -> None:
    text = _configuration(_run(_with(databases, redises)), QUAY)
    found = [line.split()[1] for line in text.splitlines() if line.startswith("listen ")]
    assert found == sections
