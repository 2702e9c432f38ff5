"""The topology of a registry in a cluster: which services run there, and at which addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quaylab.endpoints import Endpoint, StoreEndpoint
from quaylab.model import LOOPBACK, container_name
from quaylab.openshift.operator import settings as operator_settings
from quaylab.problems import Problems, refuse
from quaylab.services import BY_NAME, SERVICES
from quaylab.services.base import BackingService, Groups
from quaylab.services.object_store import kind
from quaylab.settings.loading import HostInput, Settings
from quaylab.topology import DEFAULT_HOSTNAME, Topology
from quaylab.versions import is_legacy, quay_version

GROUP = "openshift"
# In place of a host's name, for the services that run in the cluster.
CLUSTER = "the cluster"
HTTPS_PORT = 443
OPERATOR = "operator"
# The name of the QuayRegistry; what the operator makes of it has names that begin so.
REGISTRY = "quaylab"
# The end of the names that a cluster's DNS gives Services.
INSIDE = re.compile(r"\.svc(\.cluster\.local)?$")
# Settings that only make sense on machines.
OF_MACHINES = (
    "balancer_host",
    "database_data",
    "database_listen",
    "quay_storage_path",
    "redis_listen",
    "virtual_address",
)


def build(settings: Settings, groups: Groups, hosts: list[HostInput]) -> Topology:
    """Work out the topology of a registry in the cluster of group `openshift`.

    Its services have the addresses that they have on a single machine: there containers find each
    other by name, here by the Services of the same names. The operator gives them names of its own.

    Raises:
        Refusal: a setting doesn't fit, or services are placed on machines.
    """
    clients = [host.name for host in hosts if GROUP in host.groups]
    problems = Problems(_placement_problems(settings, groups, clients))
    problems += [
        f"openshift: {host.name} is not in group `openshift`, and beside that group an inventory "
        "has no hosts; give it an inventory of its own"
        for host in hosts
        if not {GROUP, *groups} & set(host.groups)
    ]
    problems += _setting_problems(settings, groups)
    refuse(problems)
    endpoints: dict[str, Endpoint] = {}
    for service in SERVICES:
        if isinstance(service, BackingService) and not service.external_address(settings):
            name, port = service_name(settings, service.name), service.inside_port(settings)
            endpoints[service.name] = Endpoint((CLUSTER,), name, port, name, port, None)
        elif found := service.endpoint(settings, groups, lambda _: LOOPBACK):
            endpoints[service.name] = found
    hostname = settings.server_hostname or DEFAULT_HOSTNAME
    return Topology(
        hostname,
        settings.quay_https_port,
        {service.name: () for service in SERVICES},
        endpoints,
        {},
        hostname,
        clients[0],
    )


def is_operated(settings: Settings) -> bool:
    """Whether Quay's operator makes the registry."""
    return settings.openshift_method == OPERATOR


def service_name(settings: Settings, service: str) -> str:
    """Return the name of the Service before a service that runs in the cluster."""
    return f"{REGISTRY}-quay-{service}" if is_operated(settings) else container_name(service)


def runs_here(topology: Topology, service: str) -> bool:
    """Whether a service that Quay uses runs in the cluster."""
    return CLUSTER in topology.endpoints[service].hosts


def is_known_inside(endpoint: Endpoint) -> bool:
    """Whether a service runs elsewhere under a name that only the cluster's DNS knows: such as a
    database of an operator's. An object store's name has to be known outside, as clients fetch
    blobs there."""
    is_store = isinstance(endpoint, StoreEndpoint)
    return endpoint.is_elsewhere and not is_store and bool(INSIDE.search(endpoint.address))


def replicas(settings: Settings, topology: Topology) -> int:
    """Return the number of Quay's pods: a volume serves only one of them, and the operator keeps
    the blobs in none."""
    has_volume = topology.object_store is None and not is_operated(settings)
    return settings.openshift_replicas or (1 if has_volume else 2)


def _placement_problems(settings: Settings, groups: Groups, clients: list[str]) -> Iterator[str]:
    if len(clients) != 1:
        yield (
            f"openshift: {len(clients)} hosts in group `openshift`; exactly one is needed, on "
            "which kubectl or oc is logged in, such as @local"
        )
    for name, hosts in groups.items():
        if hosts:
            yield (
                f"{name}: {hosts[0]} is in group `{name}`, and with a group `openshift` nothing "
                "runs on machines; leave the group out, or name a service that runs elsewhere by "
                "its address"
            )
    yield from BY_NAME["object_store"].placement_problems(settings, groups)


def _setting_problems(settings: Settings, groups: Groups) -> Iterator[str]:
    for key in OF_MACHINES:
        if getattr(settings, key) is not None:
            yield f"{key}: has no meaning in a cluster; leave it out"
    for key, example in (
        ("openshift_kubeconfig", "/root/.kube/config"),
        ("openshift_context", "the name that `kubectl config get-contexts` shows"),
        ("server_hostname", "quay.apps.example.com"),
    ):
        if getattr(settings, key) is None:
            yield f"{key}: not set; a cluster needs it: for example {example}"
    if settings.image_source != "registry":
        yield f"image_source: {settings.image_source}, but a cluster pulls its images; set registry"
    if is_legacy(quay_version(settings)):
        yield "quay_version: Quay 2.9 does not run in a cluster; set a version of Quay 3"
    if is_operated(settings):
        yield from operator_settings.problems(settings)
    elif settings.database_engine != "postgresql" and not settings.database_host:
        yield (
            f"database_engine: {settings.database_engine} is not run in a cluster; set "
            "database_host to one that runs elsewhere, or take postgresql"
        )
    if settings.database_admin and INSIDE.search(settings.database_host or ""):
        yield (
            f"database_admin: set, but only the cluster's DNS knows {settings.database_host}, so "
            "this host can't log in there; make role and database with its operator, as "
            "docs/external-services.md#its-role-and-database says, and leave it out"
        )
    if settings.quay_https_port != HTTPS_PORT and settings.openshift_exposure != "loadbalancer":
        yield (
            f"quay_https_port: {settings.quay_https_port}, but routes and ingresses listen at "
            f"{HTTPS_PORT}; leave it out, or set openshift_exposure to loadbalancer"
        )
    pods = settings.openshift_replicas or 1
    has_volume = kind(settings, groups) == "local" and not is_operated(settings)
    if pods > 1 and has_volume:
        yield (
            f"openshift_replicas: {pods} pods, but the blobs are in a volume, which only one pod "
            "has; set `storage` to an object store, or leave it out"
        )
