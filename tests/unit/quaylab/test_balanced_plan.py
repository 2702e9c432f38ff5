"""The plan of several nodes behind balancers: where the registry is, and who leads."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from quaylab import plan
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL, LOOPBACK
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.settings.loading import HostInput
from tests.authority import Authority
from tests.unit import balanced
from tests.unit.balanced import ADDRESSES, BALANCERS, DATA, HOSTNAME, QUAYS, SHARED, VIRTUAL
from tests.unit.samples import build, host

LB1, LB2, LB3 = BALANCERS
QUAY1, QUAY2, QUAY3 = QUAYS
ELSEWHERE = "192.168.254.200"


def _problems(hosts: list[HostInput], **changes: Any) -> tuple[str, ...]:
    with pytest.raises(Refusal) as refused:
        build(hosts, **changes)
    return refused.value.problems


# --- the registry's name and address ---


def test_two_balancers_need_a_name_for_both() -> None:
    changes = {**SHARED, "server_hostname": None}
    assert _problems(balanced.inventory(2, **changes), **changes) == (
        "server_hostname: not set, and none of 2 balancers has the registry's name; set one that "
        "leads to them all",
    )


@pytest.mark.parametrize(
    ("balancers", "quays", "changes", "name"),
    [
        (1, 2, {}, LB1),
        (1, 1, {}, LB1),
        (0, 1, {}, QUAY1),
        (0, 2, {"balancer_host": "LB.example.com"}, "lb.example.com"),
        (0, 2, {"balancer_host": ELSEWHERE}, "quay.quaylab.lan"),
        (2, 2, {"server_hostname": HOSTNAME}, HOSTNAME),
        (0, 2, {"balancer_host": "lb.example.com", "server_hostname": HOSTNAME}, HOSTNAME),
    ],
    ids=str,
)
def test_name(balancers: int, quays: int, changes: dict[str, Any], name: str) -> None:
    given = {"server_hostname": None, **changes}
    assert balanced.layout(balancers, quays, **given).hostname == name


@pytest.mark.parametrize(
    ("balancers", "changes", "front"),
    [
        (1, {}, ADDRESSES[LB1]),
        (2, {}, ADDRESSES[LB1]),
        (2, {"virtual_address": VIRTUAL}, VIRTUAL),
        (0, {"balancer_host": ELSEWHERE}, ELSEWHERE),
        (0, {"balancer_host": "lb.example.com"}, "lb.example.com"),
    ],
    ids=str,
)
def test_front(balancers: int, changes: dict[str, Any], front: str) -> None:
    assert balanced.layout(balancers, **changes).front == front


def test_a_host_with_everything_is_reached_at_its_address() -> None:
    """HAProxy runs on the host's network, and its nodes don't listen on loopback."""
    groups = ["balancer", "quay", "database", "redis"]
    found = build([host(QUAY1, groups, address=ADDRESSES[QUAY1])])
    assert (found.front, found.addresses) == (ADDRESSES[QUAY1], {QUAY1: ADDRESSES[QUAY1]})


def test_balancers_and_nodes_need_addresses() -> None:
    hosts = [host("lb", ["balancer"]), host("quay", ["quay", "database", "redis"])]
    problems = _problems(hosts)
    assert [each.partition(" needs")[0] for each in problems] == ["address: lb", "address: quay"]


# --- the first Quay host ---


@pytest.mark.parametrize(
    ("reported", "first"),
    [((), QUAY1), (QUAYS, QUAY1), ((QUAY3, QUAY2), QUAY2), ((LB1, DATA), QUAY1)],
    ids=["nobody", "all", "without the first one", "no Quay host"],
)
def test_the_first_quay_host_that_takes_part_leads(reported: tuple[str, ...], first: str) -> None:
    seen = {name: (ADDRESSES[name],) for name in reported}
    assert build(balanced.inventory(1, 3), seen, **SHARED).first_quay == first


def test_without_its_first_host_the_next_one_migrates(store: Store) -> None:
    hosts = balanced.inventory()
    machines = {each.name: balanced.report(each.name) for each in hosts if each.name != QUAY1}
    made = balanced.made(store, hosts, machines)
    assert (made.topology.first_quay, made.migrates) == (QUAY2, True)


def test_the_latest_note_of_all_hosts_holds(store: Store) -> None:
    hosts = balanced.inventory()
    schemas = {QUAY1: "v3.16.5", QUAY2: "v3.18.0"}
    machines = {
        each.name: balanced.report(each.name, schema=schemas.get(each.name)) for each in hosts
    }
    made = balanced.made(store, hosts, machines)
    assert (made.schema, made.migrates) == ("v3.18.0", False)


def test_an_upgrade_knows_when_a_note_was_written_last(store: Store) -> None:
    hosts = balanced.inventory()
    times = {QUAY1: 1000.0, QUAY2: 2000.0}
    machines = {
        each.name: balanced.report(each.name, schema_time=times.get(each.name, 0)) for each in hosts
    }
    assert balanced.made(store, hosts, machines).upgrade.since == 2000


# --- the plan ---


@pytest.mark.parametrize(
    ("balancers", "quays", "changes", "is_balanced"),
    [(0, 1, {}, False), (1, 1, {}, True), (0, 2, {"balancer_host": ELSEWHERE}, True)],
    ids=str,
)
def test_is_balanced(
    store: Store, balancers: int, quays: int, changes: dict[str, Any], is_balanced: bool
) -> None:
    made = balanced.made(store, balanced.inventory(balancers, quays, **changes))
    assert made.is_balanced is is_balanced


@pytest.mark.parametrize(
    ("balancers", "changes", "found"),
    [
        (2, {}, {LB1: LOOPBACK, LB2: LOOPBACK, QUAY1: ADDRESSES[LB1], DATA: ADDRESSES[LB1]}),
        (2, {"virtual_address": VIRTUAL}, {LB2: LOOPBACK, QUAY1: VIRTUAL, DATA: VIRTUAL}),
        (0, {"balancer_host": ELSEWHERE}, {QUAY1: ELSEWHERE, DATA: ELSEWHERE}),
        (0, {"balancer_host": "lb.example.com"}, {QUAY1: None, DATA: None}),
    ],
    ids=str,
)
def test_address_of_the_registry_on_each_host(
    store: Store, balancers: int, changes: dict[str, Any], found: dict[str, str | None]
) -> None:
    made = balanced.made(store, balanced.inventory(balancers, **changes))
    assert {name: made.address_of_registry(name) for name in found} == found


def test_balancers_admit_each_other(store: Store) -> None:
    hosts = balanced.inventory(3, virtual_address=VIRTUAL)
    made = balanced.made(store, hosts)
    assert made.vrrp_peers(LB2) == (ADDRESSES[LB1], ADDRESSES[LB3])
    assert made.vrrp_peers(QUAY1) == ()
    assert balanced.made(store, balanced.inventory(3)).vrrp_peers(LB2) == ()


def test_the_moving_address_is_nobodys_own(store: Store) -> None:
    """The balancer that holds it reports two addresses, and its own one is still known."""
    hosts = [
        dataclasses.replace(each, data={**each.data, "address": None})
        for each in balanced.inventory(virtual_address=VIRTUAL)
    ]
    machines = {
        each.name: balanced.report(
            each.name,
            addresses=(ADDRESSES[each.name], *((VIRTUAL,) if each.name == LB2 else ())),
            networks=(
                ("eth0", f"{ADDRESSES[each.name]}/24"),
                *((("eth0", f"{VIRTUAL}/32"),) if each.name == LB2 else ()),
            ),
        )
        for each in hosts
    }
    made = balanced.made(store, hosts, machines)
    assert made.topology.addresses[LB2] == ADDRESSES[LB2]


def test_nodes_and_workloads(store: Store) -> None:
    made = balanced.made(store, quay_instances=2)
    assert [node.name for node in made.nodes] == [QUAY1, f"{QUAY1}:2", QUAY2, f"{QUAY2}:2"]
    assert [each.container.name for each in made.workloads_of(QUAY1)] == [
        "quaylab-quay",
        "quaylab-quay-2",
    ]
    assert [each.container.name for each in made.workloads_of(LB1)] == ["quaylab-balancer"]


def test_hosts_that_fit_are_not_refused(store: Store) -> None:
    hosts = balanced.inventory(3, 3, virtual_address=VIRTUAL, quay_instances=2)
    plan.refuse_unfit(balanced.made(store, hosts))


def test_what_does_not_fit_is_refused_with_all_the_rest(store: Store) -> None:
    hosts = balanced.inventory(virtual_address="10.9.9.9", balancer_status_port=443)
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(balanced.made(store, hosts))
    settings = [each.partition(":")[0] for each in refused.value.problems]
    assert settings == ["virtual_address", "virtual_address", "quay_https_port", "quay_https_port"]


def test_a_node_and_a_balancer_on_one_host_have_ports_of_their_own(store: Store) -> None:
    both = host(QUAY1, ["balancer", "quay", "database", "redis"], quay_node_port=443)
    machines = {QUAY1: balanced.report(QUAY1)}
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(plan.make([both], machines, store))
    (problem,) = refused.value.problems
    assert problem.startswith(f"quay_https_port: port 443 of {QUAY1} is quay_node_port's too")


@pytest.mark.parametrize("balancers", [0, 1])
def test_behind_balancers_a_given_certificate_is_not_the_nodes(
    store: Store, tmp_path: Path, balancers: int
) -> None:
    """So a new one is a reload of the balancers, and replaces no node."""
    certificate, key = Authority.new().sign(HOSTNAME)
    files = {"tls_certificate": tmp_path / "quay.crt", "tls_key": tmp_path / "quay.key"}
    for path, content in zip(files.values(), (certificate, key), strict=True):
        path.write_text(content)
    given = {name: str(path) for name, path in files.items()}
    made = balanced.made(store, balanced.inventory(balancers, 1, **given))
    assert made.certificate.certificate == certificate
    assert (made.node_certificate == made.certificate) is (balancers == 0)
    bundle = {file.path: file.content for file in made.workloads_of(QUAY1)[0].files}
    assert bundle["/etc/quaylab/quay/ssl.cert"] == made.node_certificate.certificate


def test_a_port_that_another_program_has_on_a_new_balancer_is_refused(store: Store) -> None:
    """HAProxy publishes no ports, so once it is there, it may be the program itself."""
    hosts = balanced.inventory(1)
    taken = balanced.report(LB1, listening=frozenset({443, 8404}))
    machines = {**{each.name: balanced.report(each.name) for each in hosts}, LB1: taken}
    made = balanced.made(store, hosts, machines)
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(made)
    assert [each.partition(" of")[0] for each in refused.value.problems] == [
        "quay_https_port: port 443",
        "balancer_status_port: port 8404",
    ]
    labels = {DIGEST_LABEL: "digest", CREDENTIALS_LABEL: made.credentials.fingerprint}
    there = dataclasses.replace(taken, containers={"quaylab-balancer": labels})
    plan.refuse_unfit(dataclasses.replace(made, machines={**machines, LB1: there}))
