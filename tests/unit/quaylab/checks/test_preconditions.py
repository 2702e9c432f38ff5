"""Preconditions of hosts with a service; a problem shows what is needed and what was found."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from quaylab import plan
from quaylab.checks import preconditions
from quaylab.engines.state import Engine, FoundVolume
from quaylab.hosts.machine import Machine
from quaylab.model import PublishedPort
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services import BY_NAME
from quaylab.services.base import Audience, Port
from tests.unit.samples import PARTS, host, machine

NAME = "quay.example.com"
ENGINE = Engine("26.1.5", "/var/lib/docker", None)


def _problems(lab: Plan, found: Machine, **settings: Any) -> list[str]:
    """Return the problems with what every host needs, and with what Quay's hosts need."""
    changed = lab.settings.model_copy(update=settings)
    seen = dataclasses.replace(lab, settings=changed, machines={**lab.machines, NAME: found})
    ports, workloads = seen.ports_of(NAME), seen.workloads_of(NAME)
    return [
        *BY_NAME["quay"].problems(seen),
        *preconditions.problems(NAME, found, changed, workloads, ports),
    ]


@pytest.mark.parametrize(
    ("found", "key", "words"),
    [
        ({"architecture": "i686"}, NAME, ("found architecture i686", "x86_64")),
        ({"cpus": 1}, "minimum_cpus", ("has 1,", "2 are needed")),
        ({"memory_mb": 3900}, "minimum_memory_mb", ("has 3900 MB", "8192 MB")),
        ({"clock_ahead": -95.0}, NAME, ("-95 s off", "30 s", "chrony")),
        (
            {"engine": dataclasses.replace(ENGINE, version="1.12.6")},
            NAME,
            ("found Docker 1.12.6", "1.13"),
        ),
        ({"free_mb": {"/": 900}}, "minimum_disk_mb", ("900 MB free on /,", "10240 MB", "images")),
        ({"listening": frozenset({443})}, "quay_https_port", ("port 443", "another program")),
        ({"listening": frozenset({80})}, "quay_http_port", ("port 80",)),
        ({"listening": frozenset({5432})}, "database_port", ("port 5432",)),
        ({"listening": frozenset({6379})}, "redis_port", ("port 6379",)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_missing_is_reported(
    lab: Plan, found: dict[str, Any], key: str, words: tuple[str, ...]
) -> None:
    (problem,) = _problems(lab, machine(**{"engine": ENGINE, **found}))
    assert problem.startswith(f"{key}: ")
    for word in words:
        assert word in problem


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "192.0.2.9"])
def test_a_listen_address_must_be_one_of_the_hosts(store: Store, address: str) -> None:
    """Otherwise a run would remove the old container, and the new one couldn't start."""
    lab = plan.make([host(NAME, redis_listen=address)], {NAME: machine()}, store)
    there = machine(engine=ENGINE, addresses=("192.0.2.1",), own_addresses=frozenset({"192.0.2.1"}))
    problems = _problems(lab, there)
    if address != "192.0.2.9":
        assert problems == []
    else:
        (problem,) = problems
        assert problem.startswith(f"redis_listen: {NAME} has no address 192.0.2.9")
        assert problem.endswith("; it has 192.0.2.1; set redis_listen to one that it has")
    # A host without `ip` reports no addresses.
    assert _problems(lab, machine(engine=ENGINE)) == []


@pytest.mark.parametrize(
    "found",
    [
        {"memory_mb": 7900},  # what a machine of 8 GB reports
        {"clock_ahead": 2.0},
        {"listening": frozenset({22, 443, 5432}), "published": frozenset({443, 5432})},
        {"free_mb": {"/": 20000, "/boot": 100}},
    ],
    ids=["8 GB", "clock", "own ports", "other mount"],
)
def test_what_is_sufficient_is_no_problem(lab: Plan, found: dict[str, Any]) -> None:
    assert _problems(lab, machine(**found)) == []


def test_the_settings_can_lower_the_minimum(lab: Plan) -> None:
    small = machine(cpus=1, memory_mb=1500, free_mb={"/": 2000})
    assert _problems(lab, small, minimum_cpus=1, minimum_memory_mb=1024, minimum_disk_mb=1024) == []


def test_all_problems_are_reported_at_once(lab: Plan) -> None:
    found = machine(cpus=1, memory_mb=1500, free_mb={"/": 2000}, listening=frozenset({80, 443}))
    assert len(_problems(lab, found)) == 5


def test_each_mount_needs_space_for_the_data_on_it(lab: Plan) -> None:
    found = machine(free_mb={"/": 500, "/var/lib/docker": 600, "/srv": 700})
    (problem,) = _problems(lab, found)
    assert "600 MB free on /var/lib/docker" in problem
    assert "images, the database, Quay's blobs" in problem


def test_existing_data_needs_no_more_space(lab: Plan) -> None:
    volumes = tuple(FoundVolume(name, {}) for name in lab.volumes_of(NAME))
    assert _problems(lab, machine(volumes=volumes, free_mb={"/": 500})) == []


def test_host_without_a_service_needs_nothing(lab: Plan) -> None:
    tiny = machine(cpus=1, memory_mb=200, architecture="i686", clock_ahead=9999.0)
    assert list(preconditions.problems("other", tiny, lab.settings, (), ())) == []
    seen = dataclasses.replace(lab, machines={**lab.machines, "other": tiny})
    assert list(BY_NAME["quay"].problems(seen)) == []


def test_a_host_of_packages_without_a_container_needs_a_clock_as_well(lab: Plan) -> None:
    """As cephadm's hosts, whose daemons are no containers of ours."""
    # The gateway's address is that of their first host.
    port = Port(PublishedPort(7480, 7480, "192.0.2.8"), "storage_port", Audience.QUAY)
    late = machine(clock_ahead=95.0, addresses=("192.0.2.9",), free_mb={"/": 900})
    (problem,) = preconditions.problems("ceph2", late, lab.settings, (), (("ceph", port),))
    assert problem.startswith("ceph2: its clock is +95 s off")


def test_database_host_alone_needs_no_memory_for_quay(store: Store) -> None:
    tiny, name = machine(cpus=1, memory_mb=1024), "db.example.com"
    hosts = [
        host(NAME, ["quay", "redis"], address="192.0.2.1"),
        host(name, ["database"], address="192.0.2.2"),
    ]
    lab = plan.make(hosts, {NAME: machine(memory_mb=4096), name: tiny}, store)
    workloads, ports = lab.workloads_of(name), lab.ports_of(name)
    assert [each.service for each in workloads] == ["database"]
    assert list(preconditions.problems(name, tiny, lab.settings, workloads, ports)) == []
    assert list(BY_NAME["quay"].problems(lab)) == []


@pytest.mark.parametrize(
    ("changes", "key", "other"),
    [
        ({"quay_https_port": 6379}, "redis_port", "quay_https_port"),
        ({"quay_http_port": 5432}, "database_port", "quay_http_port"),
        ({"redis_port": 5432}, "database_port", "redis_port"),
    ],
    ids=str,
)
def test_two_services_of_a_host_cannot_have_the_same_port(
    store: Store, changes: dict[str, Any], key: str, other: str
) -> None:
    lab = plan.make([host(NAME, **changes)], {NAME: machine()}, store)
    (problem,) = _problems(lab, machine())
    assert problem == (
        f"{key}: port {changes[other]} of {NAME} is {other}'s too; give each a port of its own"
    )


def test_cephs_gateway_needs_a_port_of_its_own(store: Store) -> None:
    names = [NAME, "2.example.com", "3.example.com"]
    common: dict[str, Any] = {"quay_https_port": 7480}
    hosts = [
        host(NAME, (*PARTS, "ceph"), address="192.0.2.1", **common),
        *(host(name, ["ceph"], address=f"192.0.2.{name[0]}", **common) for name in names[1:]),
    ]
    lab = plan.make(hosts, dict.fromkeys(names, machine()), store)
    (problem,) = _problems(lab, machine())
    assert problem.startswith(f"storage_port: port 7480 of {NAME} is quay_https_port's too")
