"""A registry of several nodes behind balancers, with all of its hosts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from quaylab import plan
from quaylab.hosts.machine import Machine
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services.base import Context
from quaylab.settings.loading import HostInput
from quaylab.topology import Topology
from tests.unit.samples import (
    CREDENTIALS,
    build,
    certified,
    context,
    host,
    machine,
    with_storage_keys,
)

BALANCERS = ("lb1.example.com", "lb2.example.com", "lb3.example.com")
QUAYS = ("quay1.example.com", "quay2.example.com", "quay3.example.com")
DATA = "data.example.com"
NUMBERS = {BALANCERS: 21, QUAYS: 31, (DATA,): 41}
ADDRESSES = {
    name: f"192.168.254.{first + number}"
    for names, first in NUMBERS.items()
    for number, name in enumerate(names)
}
HOSTNAME = "registry.example.com"
VIRTUAL = "192.168.254.100"
# Several Quay hosts need an object store, and several balancers a name that is none of theirs.
SHARED: dict[str, Any] = {
    "server_hostname": HOSTNAME,
    "storage": "s3",
    "storage_region": "eu-central-1",
}


def inventory(balancers: int = 2, quays: int = 2, **data: Any) -> list[HostInput]:
    """Return the hosts: so many balancers and Quay hosts, and one with database and Redis."""
    groups = {
        **{name: ["balancer"] for name in BALANCERS[:balancers]},
        **{name: ["quay"] for name in QUAYS[:quays]},
        DATA: ["database", "redis"],
    }
    return [
        host(name, parts, **{**SHARED, "address": ADDRESSES[name], **data})
        for name, parts in groups.items()
    ]


def layout(balancers: int = 2, quays: int = 2, **changes: Any) -> Topology:
    """Return the topology of such hosts."""
    return build(inventory(balancers, quays), **{**SHARED, **changes})


def run(where: Topology | None = None, **changes: Any) -> Context:
    """Return the context of services on such hosts, each of them with a network."""
    where = where or layout(**changes)
    credentials = with_storage_keys(certified(HOSTNAME))
    found = context(where, credentials, **{**SHARED, **changes})
    machines = {name: report(name) for name in where.engine_hosts()}
    return dataclasses.replace(found, machines=machines)


def report(name: str, **changes: Any) -> Machine:
    """Return what one of the hosts reports."""
    own = ADDRESSES[name]
    network = ("eth0", f"{own}/24")
    reported = {"addresses": (own,), "own_addresses": frozenset({own}), "networks": (network,)}
    return machine(**{**reported, **changes})


def made(
    store: Store,
    hosts: list[HostInput] | None = None,
    machines: Mapping[str, Machine] | None = None,
    **data: Any,
) -> Plan:
    """Return the plan of a run on such hosts, by default on all of them."""
    store.save(with_storage_keys(CREDENTIALS))
    hosts = hosts or inventory(**data)
    if machines is None:
        machines = {each.name: report(each.name) for each in hosts}
    return plan.make(hosts, machines, store)
