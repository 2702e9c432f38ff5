"""The places where tests run: hosts by the service they run, and services on their hosts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from facts.subscription import CLIENT
from quaylab.endpoints import Endpoint
from quaylab.hosts.storage import Storage
from quaylab.hosts.subscription import is_wanted
from quaylab.model import LOOPBACK
from quaylab.secrets.certificates import ServerCertificate
from quaylab.services import ceph, ingress
from quaylab.services.base import ROUTER, Workload
from quaylab.versions import is_legacy
from tests.hosts.lab import Lab, Target


@dataclass(frozen=True, repr=False)
class WorkloadPlace:
    """A container on the host that runs it."""

    target: Target
    workload: Workload

    def __repr__(self) -> str:
        return f"{self.workload.container.name} on {self.target}"

    def inspect(self) -> dict[str, Any]:
        """Return the engine's description of the container."""
        return self.target.container(self.workload)


@dataclass(frozen=True, repr=False)
class EndpointPlace:
    """A service that Quay uses, on the only host that runs it."""

    target: Target
    name: str
    endpoint: Endpoint

    def __repr__(self) -> str:
        return f"port {self.endpoint.probe_port} of {self.target}"


@dataclass(frozen=True, repr=False)
class RegistryPlace:
    """An address and a port of a host that answer as the registry: a node or a balancer."""

    target: Target
    title: str
    address: str
    port: int
    certificate: ServerCertificate

    def __repr__(self) -> str:
        return f"{self.title} on {self.target}"


@dataclass(frozen=True, repr=False)
class StoragePlace:
    """A host's disks for the engine or for Quay."""

    target: Target
    storage: Storage

    def __repr__(self) -> str:
        return f"{self.storage.setting} of {self.target}"


def _storages(lab: Lab) -> list[StoragePlace]:
    return [
        StoragePlace(target, storage)
        for target in lab.targets.values()
        for storage in lab.plan.storages.get(target.name, ())
    ]


def _workloads(lab: Lab) -> list[WorkloadPlace]:
    return [
        WorkloadPlace(target, workload)
        for target in lab.targets.values()
        for workload in lab.plan.workloads_of(target.name)
    ]


def _endpoints(lab: Lab) -> list[EndpointPlace]:
    return [
        EndpointPlace(target, name, endpoint)
        for name, endpoint in lab.plan.topology.endpoints.items()
        if endpoint.listen  # several hosts listen at addresses of their own
        for target in lab.on(*endpoint.hosts)
    ]


def _hypervisor(lab: Lab) -> list[Target]:
    return lab.on(lab.virtual.hypervisor) if lab.virtual else []


def _virtual_machines(lab: Lab) -> list[Target]:
    return lab.on(*lab.virtual.machines) if lab.virtual else []


def _database(lab: Lab, engine: str) -> list[Target]:
    """Return the database's host if it runs this engine."""
    if lab.plan.settings.database_engine != engine:
        return []
    return lab.on(*lab.plan.topology.database.hosts)


def _engines(lab: Lab) -> list[Target]:
    return lab.on(*lab.plan.topology.engine_hosts())


def _registries(lab: Lab) -> list[RegistryPlace]:
    """Return Quay's nodes and the balancers, but not Quay 2.9, which is set up by hand."""
    if is_legacy(lab.plan.version):
        return []
    nodes = [
        RegistryPlace(target, node.container, node.address, node.port, lab.plan.node_certificate)
        for node in lab.plan.nodes
        for target in lab.on(node.host)
    ]
    return nodes + [
        RegistryPlace(
            target, "balancer", LOOPBACK, lab.plan.topology.https_port, lab.plan.certificate
        )
        for target in _balancers(lab)
    ]


def _balancers(lab: Lab) -> list[Target]:
    return lab.on(*lab.plan.topology.balancers)


def _balancer_pairs(lab: Lab) -> list[tuple[Target, Target]]:
    """Return each balancer with the next one, if there are several."""
    found = _balancers(lab)
    return list(zip(found, [*found[1:], *found[:1]], strict=True)) if len(found) > 1 else []


def _address_balancers(lab: Lab) -> list[list[Target]]:
    """Return all balancers together if they share a virtual address and all are under test."""
    found = _balancers(lab)
    is_whole = len(found) == len(lab.plan.topology.balancers)
    return [found] if lab.plan.settings.virtual_address and is_whole else []


def _members(lab: Lab) -> list[Target]:
    return lab.on(*lab.plan.topology.database_members)


def _clusters(lab: Lab) -> list[list[Target]]:
    """Return the members of the database together if all of them are under test."""
    found = _members(lab)
    return [found] if found and len(found) == len(lab.plan.topology.database_members) else []


def _registry_clients(lab: Lab) -> list[Target]:
    return [] if is_legacy(lab.plan.version) else _engines(lab)


def _subscribed(lab: Lab) -> list[Target]:
    """Return the RHEL hosts that have its client, if the settings ask for subscriptions."""
    if not is_wanted(lab.plan.settings):
        return []
    rhel = [target for target in lab.targets.values() if target.machine.os_id == "rhel"]
    return [target for target in rhel if target.shell.exists(CLIENT)]


# A test with an argument of this name runs once for each of these places.
PLACES: dict[str, Callable[[Lab], list[Any]]] = {
    "engine_host": _engines,
    "docker_systemd_host": lambda lab: [
        host for host in _engines(lab) if host.machine.systemd and not host.uses_podman
    ],
    "docker_proxied_host": lambda lab: (
        [host for host in _engines(lab) if not host.uses_podman]
        if lab.plan.settings.http_proxy or lab.plan.settings.https_proxy
        else []
    ),
    "company_ca_host": lambda lab: _engines(lab) if lab.plan.settings.company_ca else [],
    "pull_secret_host": lambda lab: _engines(lab) if lab.plan.settings.pull_secret else [],
    "lab_ca_host": lambda lab: _engines(lab) if lab.plan.certificate.ca else [],
    "workload": _workloads,
    "docker_workload": lambda lab: [
        each for each in _workloads(lab) if not each.target.uses_podman
    ],
    "podman_workload": lambda lab: [each for each in _workloads(lab) if each.target.uses_podman],
    "workload_with_files": lambda lab: [each for each in _workloads(lab) if each.workload.files],
    "workload_with_health": lambda lab: [
        each for each in _workloads(lab) if each.workload.container.health
    ],
    "workload_with_volume": lambda lab: [each for each in _workloads(lab) if each.workload.volume],
    "storage": _storages,
    "docker_systemd_storage": lambda lab: [
        each
        for each in _storages(lab)
        if each.target.machine.systemd and not each.target.uses_podman
    ],
    "docker_storage_host": lambda lab: [
        each.target for each in _storages(lab) if each.storage.path is None
    ],
    "endpoint": _endpoints,
    "loopback_endpoint": lambda lab: [
        each
        for each in _endpoints(lab)
        if each.endpoint.listen == LOOPBACK and each.target.machine.addresses
    ],
    "postgresql_host": lambda lab: _database(lab, "postgresql"),
    "mysql_host": lambda lab: _database(lab, "mysql"),
    "ceph_host": lambda lab: lab.on(ceph.admin_host(lab.plan.topology)),
    "quay_host": lambda lab: lab.on(*lab.plan.topology.quay),
    "object_storage_user": lambda lab: (
        lab.on(*lab.plan.topology.quay) if lab.plan.topology.object_store else []
    ),
    "first_quay": lambda lab: (
        [] if is_legacy(lab.plan.version) else lab.on(lab.plan.topology.first_quay)
    ),
    "registry_place": _registries,
    "registry_client": _registry_clients,
    "hypervisor": _hypervisor,
    "virtual_machine": _virtual_machines,
    "subscribed_host": _subscribed,
    "subscribed_repositories_host": lambda lab: (
        [] if lab.plan.settings.rhsm_repositories is None else _subscribed(lab)
    ),
    "lab_ca_registry": lambda lab: [each for each in _registries(lab) if each.certificate.ca],
    "balancer_host": _balancers,
    "router_host": lambda lab: lab.on(*lab.plan.topology.hosts[ROUTER]),
    "ingress_host": lambda lab: lab.on(*lab.plan.topology.hosts[ingress.NAME]),
    "member": _members,
    "cluster": _clusters,
    "balancer_pair": _balancer_pairs,
    "address_balancers": _address_balancers,
    "networked_workload": lambda lab: [
        each for each in _workloads(lab) if not each.workload.container.host_network
    ],
}
