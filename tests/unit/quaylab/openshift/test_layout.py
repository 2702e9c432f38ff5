"""The topology of a registry in a cluster, and settings that don't fit there."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab import plan, topology
from quaylab.openshift import layout
from quaylab.openshift.layout import GROUP
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from tests.unit import samples
from tests.unit.clusters import GIVEN, S3, context


def _refusal(groups: tuple[str, ...] = (GROUP,), **changes: Any) -> str:
    data = {**GIVEN, **changes}
    hosts = [samples.host("@local", groups, **data)]
    settings = samples.settings(**data)
    with pytest.raises(Refusal) as refusal:
        layout.build(settings, topology.groups(hosts), hosts)
    return str(refusal.value)


def test_services_in_the_cluster_have_the_names_that_containers_have() -> None:
    found = context().topology
    assert (found.database.address, found.database.port) == ("quaylab-database", 5432)
    assert (found.redis.address, found.redis.port) == ("quaylab-redis", 6379)
    assert layout.runs_here(found, "database")
    assert found.first_quay == "@local"


def test_services_elsewhere_have_their_addresses() -> None:
    found = context(**S3, database_host="db.example.com", database_port=6432).topology
    assert (found.database.address, found.database.port) == ("db.example.com", 6432)
    assert found.database.is_elsewhere
    assert found.object_store
    assert found.object_store.address == "objects.example.com"


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("pg-rw.databases.svc", True),
        ("pg-rw.databases.svc.cluster.local", True),
        ("db.example.com", False),
        ("db.svc.example.com", False),
    ],
)
def test_names_that_only_the_cluster_knows(address: str, is_inside: bool) -> None:
    found = context(database_host=address).topology
    assert layout.is_known_inside(found.database) is is_inside
    assert not layout.is_known_inside(found.redis)
    # Clients fetch blobs there.
    store = context(storage="s3", storage_host=address).topology.object_store
    assert store
    assert not layout.is_known_inside(store)


@pytest.mark.parametrize(
    ("changes", "pods"),
    [({}, 1), (S3, 2), ({**S3, "openshift_replicas": 5}, 5), ({"openshift_replicas": 1}, 1)],
    ids=["volume", "store", "set", "one"],
)
def test_number_of_pods(changes: dict[str, Any], pods: int) -> None:
    found = context(**changes)
    assert layout.replicas(found.settings, found.topology) == pods


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"openshift_kubeconfig": None}, "openshift_kubeconfig: not set; a cluster needs it"),
        ({"openshift_context": None}, "openshift_context: not set; a cluster needs it"),
        ({"server_hostname": None}, "server_hostname: not set; a cluster needs it"),
        (
            {"database_host": "pg-rw.databases.svc", "database_admin": "postgres"},
            "database_admin: set, but only the cluster's DNS knows pg-rw.databases.svc",
        ),
        (
            {"image_source": "packages"},
            "image_source: packages, but a cluster pulls its images; set registry",
        ),
        ({"quay_version": "v2.9.1"}, "quay_version: Quay 2.9 does not run in a cluster"),
        ({"database_engine": "mysql"}, "database_engine: mysql is not run in a cluster"),
        (
            {"quay_https_port": 8443},
            "quay_https_port: 8443, but routes and ingresses listen at 443",
        ),
        ({"openshift_replicas": 2}, "openshift_replicas: 2 pods, but the blobs are in a volume"),
        ({"storage": "radosgw"}, "storage_host: not set"),
        ({"balancer_host": "lb.example.com"}, "balancer_host: has no meaning in a cluster"),
        ({"database_data": "/srv/db"}, "database_data: has no meaning in a cluster"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], line: str) -> None:
    assert f"- {line}" in _refusal(**changes)


def test_services_on_machines_are_refused() -> None:
    text = _refusal((GROUP, "database"))
    assert "database: @local is in group `database`, and with a group `openshift`" in text


def test_one_host_reaches_the_cluster() -> None:
    data = GIVEN
    hosts = [samples.host(name, (GROUP,), **data) for name in ("one", "two")]
    with pytest.raises(Refusal, match="openshift: 2 hosts in group `openshift`"):
        layout.build(samples.settings(**data), topology.groups(hosts), hosts)


def test_an_inventory_has_no_hosts_beside_the_group() -> None:
    hosts = [samples.host("@local", (GROUP,), **GIVEN), samples.host("metal", ("hypervisor",))]
    with pytest.raises(Refusal, match="openshift: metal is not in group `openshift`"):
        layout.build(samples.settings(**GIVEN), topology.groups(hosts), hosts)


def test_the_plan_needs_nothing_of_the_host(store: Store) -> None:
    """It only runs kubectl: so it may be no root, and have no engine or a rootless one."""
    hosts = [samples.host("@local", (GROUP,), **GIVEN)]
    found = plan.make(hosts, {"@local": samples.machine(uid=1000, os_id="")}, store)
    assert found.topology.hosts["quay"] == ()
    assert found.workloads == {}
    assert found.certificate.ca
