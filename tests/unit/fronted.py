"""A registry behind balancers, with a Ceph of three hosts whose gateways they lead to."""

from __future__ import annotations

import dataclasses
from typing import Any

from quaylab import plan
from quaylab.engines.state import EngineState
from quaylab.hosts.machine import Machine
from quaylab.model import DIGEST_LABEL
from quaylab.plan import Plan
from quaylab.secrets.credentials import Credentials, Store
from quaylab.services import BY_NAME
from quaylab.services.base import Context
from quaylab.settings.loading import HostInput
from quaylab.topology import Topology
from tests.unit import balanced, states
from tests.unit.balanced import HOSTNAME
from tests.unit.samples import (
    CREDENTIALS,
    build,
    certified,
    context,
    host,
    machine,
    with_storage_keys,
)

CEPH = ("ceph1.example.com", "ceph2.example.com", "ceph3.example.com")
ADDRESSES = {name: f"192.168.254.6{number}" for number, name in enumerate(CEPH, 1)}
# The gateways are the store: nothing else is set.
OURS: dict[str, Any] = {"storage": None, "storage_region": None}


def inventory(balancers: int = 2, ceph: int = 3, quays: int = 2, **data: Any) -> list[HostInput]:
    """Return balancers, Quay hosts, one with database and Redis, and Ceph's hosts."""
    given = {**OURS, **data}
    return [
        *balanced.inventory(balancers, quays, **given),
        *(
            host(name, ["ceph"], **{"server_hostname": HOSTNAME, **given, "address": address})
            for name, address in list(ADDRESSES.items())[:ceph]
        ),
    ]


def layout(balancers: int = 2, ceph: int = 3, quays: int = 2, **changes: Any) -> Topology:
    """Return the topology of such hosts."""
    hosts = inventory(balancers, ceph, quays)
    return build(hosts, **{"server_hostname": HOSTNAME, **OURS, **changes})


def credentials(where: Topology, **changes: Any) -> Credentials:
    """Return the credentials with the gateways' certificate."""
    made = with_storage_keys(certified(HOSTNAME))
    return BY_NAME["ceph"].with_keys(made, context(where, made, **changes).settings, where)


def run(where: Topology | None = None, **changes: Any) -> Context:
    """Return the context of services on such hosts."""
    given = {"server_hostname": HOSTNAME, **OURS, **changes}
    where = where or layout(**changes)
    found = context(where, credentials(where, **given), **given)
    return dataclasses.replace(found, machines={name: report(name) for name in where.addresses})


def report(name: str) -> Machine:
    """Return what one of the hosts reports."""
    own = {**balanced.ADDRESSES, **ADDRESSES}[name]
    return machine(
        addresses=(own,),
        own_addresses=frozenset({own}),
        networks=(("eth0", f"{own}/24"),),
        hostname=name.partition(".")[0],
    )


def made(store: Store, **data: Any) -> Plan:
    """Return the plan of a run on such hosts."""
    store.save(with_storage_keys(CREDENTIALS))
    hosts = inventory(**data)
    return plan.make(hosts, {each.name: report(each.name) for each in hosts}, store)


def running(lab: Plan, name: str, service: str, *held: str) -> Plan:
    """Return the plan for when a host's container ran already, and it held these addresses."""
    container = lab.workload(service, name).container
    state: EngineState = states.engine(container)
    found = lab.machines[name]
    labels = {container.name: {DIGEST_LABEL: container.digest}}
    changed = dataclasses.replace(
        found, state=state, containers=labels, own_addresses=found.own_addresses | {*held}
    )
    return dataclasses.replace(lab, machines={**lab.machines, name: changed})


def without(lab: Plan, name: str) -> Plan:
    """Return the plan for a run in which a host takes no part."""
    machines = {each: found for each, found in lab.machines.items() if each != name}
    return dataclasses.replace(lab, machines=machines)
