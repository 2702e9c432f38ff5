"""The ingress on each balancer: where it runs, its port and its file, and what Quay knows of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cryptography import x509

from quaylab.secrets.credentials import Credentials
from quaylab.services import BY_NAME, cephadm, object_store
from quaylab.services.base import Audience, Context, Workload
from tests.unit import balanced
from tests.unit.balanced import BALANCERS, HOSTNAME, VIRTUAL
from tests.unit.fronted import ADDRESSES, CEPH, OURS, credentials, inventory, layout, run
from tests.unit.samples import host

FIRST = BALANCERS[0]


def _workload(found: Context) -> Workload:
    (only,) = BY_NAME["ingress"].workloads(found, FIRST)
    return only


def _configuration(found: Context) -> list[str]:
    content = next(
        file.content for file in _workload(found).files if file.path.endswith("haproxy.cfg")
    )
    return [line.strip() for line in content.replace("\\\n", "").splitlines()]


# --- where it runs, and how Quay reaches it ---


@pytest.mark.parametrize(("balancers", "ceph", "number"), [(2, 3, 2), (1, 3, 1), (2, 1, 0)])
def test_it_is_on_the_balancers_if_ceph_has_several_hosts(
    balancers: int, ceph: int, number: int
) -> None:
    assert layout(balancers, ceph).hosts["ingress"] == BALANCERS[:number]


@pytest.mark.parametrize(
    ("balancers", "changes", "address"),
    [
        (2, {"virtual_address": VIRTUAL}, VIRTUAL),
        (1, {}, balanced.ADDRESSES[FIRST]),
        (2, {}, HOSTNAME),
    ],
    ids=["virtual address", "one balancer", "name of both"],
)
def test_quay_uses_the_address_that_survives_a_balancer(
    balancers: int, changes: dict[str, Any], address: str
) -> None:
    where = layout(balancers, **changes)
    assert where.object_store
    assert (where.object_store.address, where.object_store.port) == (address, 7443)
    found = run(where, **changes)
    config = object_store.config(found.settings, where, found.credentials)
    (driver, arguments) = config["DISTRIBUTED_STORAGE_CONFIG"]["default"]
    assert driver == "RadosGWStorage"
    assert (arguments["hostname"], arguments["port"]) == (address, 7443)


def test_without_balancers_quay_uses_the_first_gateway() -> None:
    where = layout(0, quays=1)
    assert where.object_store
    assert (where.object_store.address, where.object_store.port) == (ADDRESSES[CEPH[0]], 7480)
    assert where.hosts["ingress"] == ()


def test_nobody_is_put_into_its_group() -> None:
    hosts = [*inventory(), host("in.example.com", ["ingress"], address="192.168.254.99")]
    groups = {name: [each.name for each in hosts if name in each.groups] for name in BY_NAME}
    (problem,) = BY_NAME["ingress"].placement_problems(run().settings, groups)
    assert problem.startswith(
        "ingress: in.example.com is in group `ingress`, which takes no hosts;"
    )


# --- its port, and the gateways' ---


@pytest.mark.parametrize(
    ("proxy", "audience"), [(False, Audience.EVERYBODY), (True, Audience.QUAY)]
)
def test_clients_reach_it_unless_quay_transfers_the_blobs(proxy: bool, audience: Audience) -> None:
    (port,) = BY_NAME["ingress"].ports(run(storage_proxy=proxy, ingress_port=8444), FIRST)
    assert (str(port.published), port.setting) == ("0.0.0.0:8444:7443", "ingress_port")
    assert port.audience == audience


def test_only_the_balancers_reach_the_gateways() -> None:
    found = run(storage_port=8480)
    (port,) = BY_NAME["ceph"].ports(found, CEPH[1])
    assert str(port.published) == f"{ADDRESSES[CEPH[1]]}:8480:7480"
    assert port.audience == Audience.BALANCERS
    wanted = cephadm.specifications(
        found.settings, found.topology, found.credentials, found.machines
    )
    (gateway,) = [each for each in wanted if each["service_type"] == "rgw"]
    assert gateway["spec"]["rgw_frontend_port"] == 8480


# --- its file ---


def test_it_leads_to_every_gateway_and_asks_each_of_them() -> None:
    lines = _configuration(run(storage_port=8480))
    assert [line for line in lines if line.startswith("server ")] == [
        f"server {name} {ADDRESSES[name]}:8480" for name in CEPH
    ]
    assert "option httpchk HEAD /" in lines
    (check,) = (line for line in lines if line.startswith("default-server"))
    assert "check-ssl verify required ca-file /etc/quaylab/ca.pem verifyhost quaylab-ceph" in check


def test_tls_ends_at_the_gateways() -> None:
    """So it needs no key, and a new certificate replaces no container."""
    found = run()
    assert not [line for line in _configuration(found) if line.startswith("bind") and "ssl" in line]
    assert "PRIVATE KEY" not in "".join(file.content for file in _workload(found).files)
    renewed = found.credentials.model_copy(update={"ceph_certificate": "another"})
    assert _workload(dataclasses.replace(found, credentials=renewed)) == _workload(found)


def test_gateways_without_tls_are_asked_without() -> None:
    found = run(storage_tls=False)
    (check,) = (line for line in _configuration(found) if line.startswith("default-server"))
    assert "ssl" not in check
    assert [file.path.rpartition("/")[2] for file in _workload(found).files] == ["haproxy.cfg"]


def test_it_is_the_balancers_image_as_nobody_in_particular() -> None:
    found = _workload(run())
    assert found.container.name == "quaylab-ingress"
    assert BY_NAME["ingress"].images(run(), FIRST) == BY_NAME["balancer"].images(run(), FIRST)
    assert found.container.user == "99"
    assert not found.container.privileged
    assert {(file.uid, file.mode) for file in found.files} == {(99, 0o400)}


# --- the gateways' certificate ---


def _certified_names(credentials: Credentials) -> list[str]:
    assert credentials.ceph_certificate
    certificate = x509.load_pem_x509_certificate(credentials.ceph_certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(each.value) for each in names]


def test_the_gateways_certificate_is_for_the_ingress_as_well() -> None:
    where = layout(virtual_address=VIRTUAL)
    given = {"server_hostname": HOSTNAME, **OURS, "virtual_address": VIRTUAL}
    assert _certified_names(credentials(where, **given)) == [
        "quaylab-ceph",
        *ADDRESSES.values(),
        VIRTUAL,
    ]


def test_it_is_made_anew_when_balancers_come_and_not_again() -> None:
    before = credentials(layout(0, quays=1))
    assert _certified_names(before) == list(ADDRESSES.values())
    where = layout()
    settings = run(where).settings
    after = BY_NAME["ceph"].with_keys(before, settings, where)
    assert after.ceph_certificate != before.ceph_certificate
    assert BY_NAME["ceph"].with_keys(after, settings, where) == after
