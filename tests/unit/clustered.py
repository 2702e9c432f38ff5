"""A registry on three hosts that play every part: database and Redis are on all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from quaylab import plan
from quaylab.hosts.machine import Machine
from quaylab.plan import Plan
from quaylab.secrets import certificates
from quaylab.secrets.credentials import Credentials, Store, with_missing_secrets
from quaylab.services import BY_NAME, member_certificate
from quaylab.services.base import Context, Workload
from quaylab.services.database import MEMBERS_PASSWORDS
from quaylab.settings.loading import HostInput
from quaylab.topology import Topology
from tests.unit import balanced
from tests.unit.balanced import HOSTNAME, SHARED
from tests.unit.samples import build, certified, context, host, machine, with_storage_keys

HOSTS = tuple(f"{name}.example.com" for name in ("one", "two", "three", "four", "five", "six"))
ONE, TWO, THREE, *_ = HOSTS
ADDRESSES = {name: f"192.168.254.{51 + number}" for number, name in enumerate(HOSTS)}
PARTS = ("balancer", "quay", "database", "redis")


def inventory(number: int = 3, parts: tuple[str, ...] = PARTS, **data: Any) -> list[HostInput]:
    """Return so many hosts, each of them with all parts; those that are no Quay's have one more."""
    found = [
        host(name, parts, **{**SHARED, "address": ADDRESSES[name], **data})
        for name in HOSTS[:number]
    ]
    if "quay" not in parts:
        data = {**SHARED, "address": balanced.ADDRESSES[balanced.QUAYS[0]], **data}
        found.append(host(balanced.QUAYS[0], [each for each in PARTS if each not in parts], **data))
    return found


def layout(hosts: list[HostInput] | None = None, **changes: Any) -> Topology:
    """Return the topology of such hosts."""
    return build(hosts or inventory(), **{**SHARED, **changes})


def credentials(where: Topology | None = None) -> Credentials:
    """Return the credentials with the members' passwords and certificate."""
    found = with_missing_secrets(with_storage_keys(certified(HOSTNAME)), MEMBERS_PASSWORDS)
    names = member_certificate.names(where or layout())
    return certificates.with_database_certificate(found, HOSTNAME, names)


def run(
    where: Topology | None = None,
    given: Credentials | None = None,
    machines: Mapping[str, Machine] | None = None,
    **changes: Any,
) -> Context:
    """Return the context of services on such hosts."""
    where = where or layout(**changes)
    found = context(where, given or credentials(where), **{**SHARED, **changes})
    if machines is None:
        machines = {name: report(name) for name in where.engine_hosts()}
    return dataclasses.replace(found, machines=machines)


def workload(service: str, found: Context, name: str = ONE) -> Workload:
    """Return a service's workload on one of the hosts."""
    (only,) = BY_NAME[service].workloads(found, name)
    return only


def report(name: str, **changes: Any) -> Machine:
    """Return what one of the hosts reports."""
    own = {**balanced.ADDRESSES, **ADDRESSES}[name]
    network = ("eth0", f"{own}/24")
    reported = {"addresses": (own,), "own_addresses": frozenset({own}), "networks": (network,)}
    return machine(**{**reported, **changes})


def made(
    store: Store,
    hosts: list[HostInput] | None = None,
    machines: Mapping[str, Machine] | None = None,
    given: Credentials | None = None,
) -> Plan:
    """Return the plan of a run on such hosts, by default on all of them."""
    store.save(given or credentials())
    hosts = hosts or inventory()
    if machines is None:
        machines = {each.name: report(each.name) for each in hosts}
    return plan.make(hosts, machines, store)
