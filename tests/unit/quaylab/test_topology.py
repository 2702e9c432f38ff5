"""Which hosts run which service, and at which address."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from quaylab import topology
from quaylab.model import LOOPBACK
from quaylab.problems import Refusal
from quaylab.services.base import Audience
from quaylab.settings.loading import HostInput
from tests.unit import balanced, clustered
from tests.unit.clustered import ADDRESSES as CLUSTER
from tests.unit.clustered import HOSTS
from tests.unit.samples import PARTS, build, host

QUAY, DATABASE, REDIS = "quay.example.com", "db.example.com", "redis.example.com"
ADDRESSES = {QUAY: "192.168.254.10", DATABASE: "192.168.254.11", REDIS: "192.168.254.12"}
REPORTED = {name: (address,) for name, address in ADDRESSES.items()}


def _three(**data: Any) -> list[HostInput]:
    return [
        host(QUAY, ["quay"], **data),
        host(DATABASE, ["database"], **data),
        host(REDIS, ["redis"], **data),
    ]


def _problems(
    hosts: list[HostInput], reported: Mapping[str, tuple[str, ...]] | None = None, **changes: Any
) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        build(hosts, REPORTED if reported is None else reported, **changes)
    return refused.value.problems


def test_services_of_one_host_meet_on_the_internal_network() -> None:
    found = build([host(QUAY)])
    assert (found.database.address, found.database.port) == ("quaylab-database", 5432)
    assert (found.redis.address, found.redis.port) == ("quaylab-redis", 6379)
    assert found.engine_hosts() == (QUAY,)
    assert found.first_quay == QUAY


def test_one_host_listens_on_loopback_only() -> None:
    found = build([host(QUAY)])
    assert found.database.listen == found.redis.listen == LOOPBACK
    assert found.front == LOOPBACK


def test_published_port_is_configured_and_the_containers_port_fixed() -> None:
    found = build([host(QUAY)], database_port=15432, redis_port=6380).database
    assert (found.port, found.probe_address, found.probe_port) == (5432, LOOPBACK, 15432)


def test_listen_opens_a_co_located_service() -> None:
    found = build([host(QUAY)], database_listen="192.168.254.10").database
    assert (found.address, found.listen) == ("quaylab-database", "192.168.254.10")
    assert found.probe_address == "192.168.254.10"


def test_three_hosts_meet_at_their_addresses() -> None:
    found = build(_three(), REPORTED, database_engine="mysql")
    assert (found.database.address, found.database.port) == (ADDRESSES[DATABASE], 3306)
    assert (found.redis.address, found.redis.port) == (ADDRESSES[REDIS], 6379)
    assert found.front == ADDRESSES[QUAY]
    assert found.engine_hosts() == (DATABASE, REDIS, QUAY)


def test_separate_services_listen_where_their_peers_reach_them() -> None:
    found = build(_three(), REPORTED, redis_listen="0.0.0.0")
    assert found.database.listen == ADDRESSES[DATABASE]
    assert (found.redis.listen, found.redis.probe_address) == ("0.0.0.0", ADDRESSES[REDIS])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("key", ["database_listen", "redis_listen"])
def test_a_separate_service_that_listens_for_its_own_host(key: str, address: str) -> None:
    changes: dict[str, Any] = {key: address}
    (problem,) = _problems(_three(), **changes)
    assert problem.startswith(f"{key}: {address} can only be reached on ")
    assert build([host(QUAY)], **changes)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("database", "database_listen", "10.0.0.9"),
        ("database", "database_data", "/srv/db"),
        ("redis", "redis_listen", "10.0.0.9"),
    ],
)
def test_a_setting_of_a_service_that_runs_elsewhere(name: str, key: str, value: str) -> None:
    changes: dict[str, Any] = {f"{name}_host": f"{name}.example.com", key: value}
    groups = [part for part in PARTS if part != name]
    (problem,) = _problems([host(QUAY, groups)], **changes)
    assert problem == (
        f"{key}: {value} is for one that Quaylab runs, and {name}_host is set to "
        f"{name}.example.com; leave out one of the two"
    )


def test_services_elsewhere_need_no_group() -> None:
    found = build(
        [host(QUAY, ["quay"])],
        database_host="db.rds.example.com",
        database_port=6432,
        redis_host="10.0.0.9",
    )
    database, redis = found.database, found.redis
    assert (database.hosts, database.address, database.port) == ((), "db.rds.example.com", 6432)
    assert (redis.hosts, redis.address, redis.port) == ((), "10.0.0.9", 6379)
    assert database.listen is None
    assert found.engine_hosts() == (QUAY,)


@pytest.mark.parametrize(
    ("data", "reported", "address"),
    [
        ({"address": "10.0.0.1", "ssh_hostname": "10.0.0.2"}, ("10.0.0.3",), "10.0.0.1"),
        ({"address": "db.internal"}, (), "db.internal"),
        ({"ssh_hostname": "10.0.0.2"}, ("10.0.0.3", "10.0.0.4"), "10.0.0.2"),
        ({"ssh_hostname": "bastion.example.com"}, ("10.0.0.3",), "10.0.0.3"),
        ({}, ("10.0.0.3",), "10.0.0.3"),
    ],
    ids=["explicit", "explicit name", "ssh_hostname", "ssh name is not an address", "the only one"],
)
def test_address_of_a_host(data: dict[str, str], reported: tuple[str, ...], address: str) -> None:
    hosts = [host(QUAY, ["quay", "redis"]), host(DATABASE, ["database"], **data)]
    found = build(hosts, {**REPORTED, DATABASE: reported})
    assert found.database.address == address


@pytest.mark.parametrize("ssh_hostname", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_forwarded_port_is_no_address_for_peers(ssh_hostname: str) -> None:
    """As with Vagrant, where SSH reaches each machine at a port of this one."""
    hosts = [host(QUAY, ["quay", "redis"]), host(DATABASE, ["database"], ssh_hostname=ssh_hostname)]
    assert build(hosts, REPORTED).database.address == ADDRESSES[DATABASE]
    (problem,) = _problems(hosts, {**REPORTED, DATABASE: ("10.0.0.3", "10.0.0.4")})
    assert problem.startswith(f"address: {DATABASE} needs one for its peers")


def test_the_address_of_a_host_without_peers() -> None:
    hosts = [host(QUAY, [*PARTS, "ceph"], ssh_hostname="127.0.0.1")]
    assert build(hosts, REPORTED).addresses == {QUAY: "127.0.0.1"}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.5", "LocalHost"])
def test_an_address_that_leads_no_peer_to_its_host(address: str) -> None:
    hosts = [host(QUAY, ["quay", "redis"]), host(DATABASE, ["database"], address=address)]
    (problem,) = _problems(hosts)
    assert problem == (
        f"address: {address} of {DATABASE} doesn't lead other hosts to it; set the address at "
        "which they reach it"
    )
    # Nobody needs it.
    assert build([host(QUAY), host("x.example.com", ["others"], address=address)], REPORTED)


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("10.0.0.9", "10.0.0.9", "10.0.0.9"),
        ("fd00::9", "fd00:0::9", "fd00::9"),
        ("db.internal", "DB.internal", "db.internal"),
    ],
)
def test_two_hosts_with_one_address(one: str, other: str, shown: str) -> None:
    hosts = [
        host(QUAY, ["quay"]),
        host(DATABASE, ["database"], address=one),
        host(REDIS, ["redis"], address=other),
    ]
    (problem,) = _problems(hosts)
    assert problem == (
        f"address: {shown} is that of {DATABASE} and {REDIS}; set for each host the one at which "
        "the others reach it"
    )


def test_a_host_named_by_its_address() -> None:
    hosts = [host(QUAY, ["quay", "redis"]), host("10.0.0.7", ["database"])]
    assert build(hosts, REPORTED).database.address == "10.0.0.7"


@pytest.mark.parametrize(
    ("reported", "found"),
    [(("10.0.0.3", "10.0.0.4"), "10.0.0.3, 10.0.0.4"), ((), "none reported")],
    ids=["several", "none"],
)
def test_address_that_cannot_be_determined(reported: tuple[str, ...], found: str) -> None:
    (problem,) = _problems(_three(), {**REPORTED, DATABASE: reported})
    assert problem.startswith(f"address: {DATABASE} needs one")
    assert found in problem
    assert "set `address`" in problem


@pytest.mark.parametrize(
    ("hosts", "changes", "problem"),
    [
        ([host(QUAY, ["database", "redis"])], {}, "quay: no host in group `quay`"),
        ([host(QUAY, ["quay", "redis"])], {}, "database: no host in group `database`"),
        ([host(QUAY, ["quay", "database"])], {}, "redis: no host in group `redis`"),
        (
            [host(QUAY), host(DATABASE, ["quay"])],
            {},
            "quay: 2 hosts in group `quay`",
        ),
        (
            [host(QUAY), host(DATABASE, ["database"])],
            {},
            "database: 2 hosts in group `database`",
        ),
        (
            [host(QUAY)],
            {"database_host": "db.example.com"},
            "database_host: db.example.com runs elsewhere, but group `database`",
        ),
        (
            [host(QUAY)],
            {"redis_host": "redis.example.com"},
            "redis_host: redis.example.com runs elsewhere, but group `redis`",
        ),
        (
            [host(QUAY)],
            {"server_hostname": "192.168.254.10"},
            "server_hostname: 192.168.254.10 is an address",
        ),
    ],
    ids=[
        "no quay",
        "no database",
        "no redis",
        "two quays",
        "two databases",
        "database in group and elsewhere",
        "redis in group and elsewhere",
        "address for a name",
    ],
)
def test_refused(hosts: list[HostInput], changes: dict[str, Any], problem: str) -> None:
    assert any(found.startswith(problem) for found in _problems(hosts, **changes))


def test_all_problems_at_once() -> None:
    problems = _problems([host(QUAY, ["other"])], server_hostname="10.0.0.1")
    keys = {problem.partition(":")[0] for problem in problems}
    assert keys == {"quay", "database", "redis", "server_hostname"}


@pytest.mark.parametrize(
    ("name", "given", "hostname"),
    [
        ("quay.example.com", None, "quay.example.com"),
        ("Quay.Example.COM", None, "quay.example.com"),
        ("quay.example.com", "registry.example.com", "registry.example.com"),
        ("@local", None, "quay.quaylab.lan"),
        ("quay", None, "quay.quaylab.lan"),
        ("192.168.254.10", None, "quay.quaylab.lan"),
        ("@fake/quay.example.com", None, "quay.quaylab.lan"),
        ("quay_1.example.com", None, "quay.quaylab.lan"),
    ],
)
def test_registrys_name(name: str, given: str | None, hostname: str) -> None:
    assert build([host(name)], server_hostname=given).hostname == hostname


@pytest.mark.parametrize(
    ("port", "registry"), [(443, "quay.example.com"), (8443, "quay.example.com:8443")]
)
def test_port_is_part_of_the_registrys_name(port: int, registry: str) -> None:
    found = build([host(QUAY)], quay_https_port=port)
    assert found.registry == registry
    assert found.url == f"https://{registry}"


# --- groups ---


def test_groups_are_by_service_in_the_inventorys_order() -> None:
    hosts = [host(REDIS, ["redis", "others"]), host(QUAY, ["quay", "redis"]), host("x", ["others"])]
    found = topology.groups(hosts)
    assert {name: members for name, members in found.items() if members} == {
        "redis": (REDIS, QUAY),
        "quay": (QUAY,),
    }
    assert found["database"] == ()


def test_hosts_are_by_service() -> None:
    found = build(_three(), REPORTED)
    assert {name: members for name, members in found.hosts.items() if members} == {
        "database": (DATABASE,),
        "redis": (REDIS,),
        "quay": (QUAY,),
    }
    assert found.quay == (QUAY,)
    assert found.endpoints == {"database": found.database, "redis": found.redis}
    assert found.object_store is None


def test_a_service_elsewhere_has_no_hosts_and_an_endpoint() -> None:
    found = build([host(QUAY, ["quay", "database"])], redis_host="10.0.0.9")
    assert found.hosts["redis"] == ()
    assert found.redis.is_elsewhere


def test_a_host_without_a_service() -> None:
    """The inventory may have machines for other purposes."""
    found = build([host(QUAY), host("x.example.com", ["others"], address="10.0.0.4")], REPORTED)
    assert found.engine_hosts() == (QUAY,)
    assert "x.example.com" not in found.addresses
    # It gets the registry's address nevertheless.
    assert found.front == ADDRESSES[QUAY]


def test_addresses_are_asked_for_where_a_peer_needs_them() -> None:
    assert build([host(QUAY)]).addresses == {}
    assert build(_three(), REPORTED).addresses == ADDRESSES


def test_an_address_that_cannot_be_determined_is_reported_once() -> None:
    """Also for a host with several services."""
    hosts = [host(QUAY, ["quay"]), host(DATABASE, ["database", "redis", "ceph"])]
    (problem,) = _problems(hosts, {QUAY: REPORTED[QUAY]})
    assert problem.startswith(f"address: {DATABASE} needs one")


# --- services on several hosts ---


def test_one_database_host_is_no_cluster() -> None:
    assert build(_three(), REPORTED).database_members == ()
    assert build(_three(), REPORTED).member_addresses == {}


def test_members_are_the_database_hosts_in_the_inventorys_order() -> None:
    found = clustered.layout()
    assert found.database_members == HOSTS[:3]
    assert found.member_addresses == {name: CLUSTER[name] for name in HOSTS[:3]}
    assert found.engine_hosts() == HOSTS[:3]


def test_members_have_names_that_haproxy_takes() -> None:
    hosts = [host(f"@ssh/db{number}", ["database"], address=f"10.0.0.{number}") for number in "123"]
    hosts.append(host(QUAY, ["quay", "redis"], address="10.0.0.9"))
    assert list(build(hosts).member_addresses) == ["_ssh_db1", "_ssh_db2", "_ssh_db3"]


def test_members_whose_names_would_be_the_same() -> None:
    hosts = clustered.inventory(parts=("database",))
    names = ("@ssh/n_1", "@ssh/n:1")
    hosts[:2] = [
        dataclasses.replace(each, name=name) for each, name in zip(hosts, names, strict=False)
    ]
    (problem,) = _problems(hosts, **balanced.SHARED)
    assert problem == (
        "database: @ssh/n_1 and @ssh/n:1 would both be _ssh_n_1 as members; give one of them a "
        "different name in the inventory"
    )


def test_quay_reaches_several_hosts_at_the_router_of_its_own_host() -> None:
    found = clustered.layout(database_port=5433, redis_port=6380)
    for endpoint, inside, outside in ((found.database, 5432, 5433), (found.redis, 6379, 6380)):
        assert endpoint.hosts == HOSTS[:3]
        assert (endpoint.address, endpoint.port) == ("quaylab-router", inside)
        assert (endpoint.probe_address, endpoint.probe_port) == (LOOPBACK, outside)
        assert endpoint.listen is None
        assert not endpoint.is_elsewhere


def test_companions_run_where_they_are_needed() -> None:
    found = clustered.layout(clustered.inventory(parts=("database",)))
    assert found.hosts["etcd"] == HOSTS[:3]
    assert found.hosts["router"] == (balanced.QUAYS[0],)
    # Redis is on one host.
    assert found.redis.hosts == (balanced.QUAYS[0],)
    assert found.redis.address == "quaylab-redis"


def test_members_need_addresses() -> None:
    hosts = [host(f"db{number}", ["database"]) for number in (1, 2, 3)]
    hosts.append(host(QUAY, ["quay", "redis"], address="10.0.0.9"))
    problems = _problems(hosts, {"db2": ("10.0.0.2",)})
    assert [each.partition(" needs")[0] for each in problems] == ["address: db1", "address: db3"]


def test_the_hosts_that_reach_members() -> None:
    found = clustered.layout(clustered.inventory(parts=("database", "redis")))
    members, quay = tuple(CLUSTER[name] for name in HOSTS[:3]), "192.168.254.31"
    assert found.addresses_of(Audience.DATABASE) == members
    assert found.addresses_of(Audience.DATABASE_AND_QUAY) == (*members, quay)
    assert found.addresses_of(Audience.QUAY) == (quay,)


@pytest.mark.parametrize("group", ["etcd", "router"])
def test_a_group_of_a_companion_is_refused(group: str) -> None:
    hosts = clustered.inventory(parts=(*clustered.PARTS, group))
    (problem,) = _problems(hosts, **balanced.SHARED)
    assert problem.startswith(f"{group}: one.example.com is in group `{group}`")
