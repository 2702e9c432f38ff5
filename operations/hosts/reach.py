"""Connections from the machine that runs pyinfra to what a host can reach."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TypeVar

from pyinfra.api import Host
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.ssh import SSHConnector

from operations.runtime.observation import recall
from quaylab.clients import database_administrator, object_store, probes
from quaylab.clients.http import dialer
from quaylab.clients.object_store import Client
from quaylab.clients.probes import Answer, Unreachable
from quaylab.clients.registry import Registry, RegistryError
from quaylab.clients.tunnel import forward
from quaylab.database_login import Step
from quaylab.endpoints import Endpoint
from quaylab.plan import Plan
from quaylab.secrets.certificates import ServerCertificate
from quaylab.services import BY_NAME
from quaylab.services.quay_nodes import Node

T = TypeVar("T")

# A port where nobody listens (yet) is our callers' to report; paramiko would print it as well.
logging.getLogger("paramiko.transport").setLevel(logging.CRITICAL)


def tunnel(host: Host, address: str, port: int) -> AbstractContextManager[tuple[str, int]]:
    """Open a tunnel to ``address``:``port`` as ``host`` sees it; give its local end."""
    connector = host.connector
    if isinstance(connector, LocalConnector):
        return forward(None, address, port)
    if isinstance(connector, SSHConnector) and connector.client:
        return forward(connector.client.get_transport(), address, port)
    raise RegistryError(f"{host.name}: only SSH and @local hosts can be reached by a tunnel")


def database(host: Host, plan: Plan) -> Answer:
    """Ask the database, as ``host``, which runs Quay, reaches it with Quay's credentials.

    Raises:
        Unreachable: it does not answer; the message has its name and address.
    """
    ask = partial(probes.database, plan.settings, plan.credentials)
    endpoint = plan.topology.database
    return recall(host, "database", lambda: _ask(host, "database", endpoint, ask))


def redis(host: Host, plan: Plan) -> Answer:
    """Ask Redis in the same way.

    Raises:
        Unreachable: it does not answer; the message has its name and address.
    """
    ask = partial(probes.redis_server, plan.settings, plan.credentials)
    return recall(host, "Redis", lambda: _ask(host, "Redis", plan.topology.redis, ask))


def missing_steps(host: Host, plan: Plan) -> tuple[Step, ...]:
    """Return the steps that create what is missing in the database, as its administrator sees it.

    Raises:
        Unreachable: the administrator can't log in, or has not the rights.
    """
    assert plan.administrator
    ask = partial(
        database_administrator.missing_steps, plan.settings, plan.credentials, plan.administrator
    )
    return _ask(host, "database", plan.topology.database, ask)


def execute_step(host: Host, plan: Plan, step: Step) -> None:
    """Have the administrator do one step.

    Raises:
        Unreachable: the server refuses.
    """
    assert plan.administrator
    do = partial(database_administrator.execute_step, plan.settings, plan.administrator, step)
    _ask(host, "database", plan.topology.database, do)


def _ask(host: Host, name: str, endpoint: Endpoint, ask: Callable[[str, int], T]) -> T:
    try:
        with tunnel(host, endpoint.probe_address, endpoint.probe_port) as (address, port):
            return ask(address, port)
    except (Unreachable, RegistryError) as error:
        raise Unreachable(f"{name} at {endpoint.address}:{endpoint.port}: {error}") from error


@contextmanager
def store(host: Host, plan: Plan) -> Iterator[Client]:
    """Open a client of the object store, through ``host``, with Quay's credentials."""
    assert plan.topology.object_store  # else blobs are in a volume
    with dialer(partial(tunnel, host)) as dial:
        yield Client(plan.settings, plan.topology.object_store, plan.credentials, dial)


def find_bucket(host: Host, plan: Plan) -> Answer | None:
    """Ask for the bucket as Quay does, without changing anything; None if it is not there.

    Raises:
        Unreachable: the store does not answer, or refuses the keys; the message begins with the
            setting.
    """
    try:
        with store(host, plan) as client:
            return client.ask()
    except RegistryError as error:
        raise Unreachable(f"storage_host: {error}") from error


def existing_bucket(host: Host, plan: Plan) -> Answer:
    """Ask the object store for Quay's bucket, which must be there.

    Raises:
        Unreachable: likewise, or it has no such bucket.
    """
    answer = recall(host, "object store", lambda: find_bucket(host, plan))
    if answer is None:
        name = plan.settings.storage_bucket
        raise Unreachable(f"storage_bucket: there is no bucket {name}; ./lab up makes it")
    return answer


# How Quay's host asks each service that Quay connects to.
QUESTIONS: Mapping[str, Callable[[Host, Plan], Answer]] = {
    "database": database,
    "redis": redis,
    "object_store": existing_bucket,
}


def services(host: Host, plan: Plan) -> dict[str, Answer]:
    """Ask every service that Quay connects to, with Quay's credentials.

    Returns:
        The answers by the services' titles.

    Raises:
        Unreachable: one of them does not answer; the message says which.
    """
    return {BY_NAME[name].title: QUESTIONS[name](host, plan) for name in plan.topology.endpoints}


def _front(host: Host, plan: Plan) -> str:
    """Return the address at which a host reaches the registry: without a virtual address its own
    balancer, or the first one that takes part."""
    connected = plan.connected(plan.topology.balancers)
    if plan.settings.virtual_address or not connected:
        return plan.topology.front
    return plan.topology.addresses[host.name if host.name in connected else connected[0]]


@contextmanager
def registry(host: Host, plan: Plan, node: Node | None = None) -> Iterator[Registry]:
    """Open a client of the registry as a host reaches it, verifying its certificate for its name.

    Args:
        node: the node to ask; by default the only one, or the one that the balancer chooses.
    """
    if not plan.is_balanced:
        (node,) = plan.nodes
    if node:
        address, port = node.address, node.port
    else:
        address, port = _front(host, plan), plan.topology.https_port
    certificate = plan.node_certificate if node else plan.certificate
    with registry_at(host, plan, address, port, certificate) as client:
        yield client


@contextmanager
def registry_at(
    host: Host, plan: Plan, address: str, port: int, certificate: ServerCertificate
) -> Iterator[Registry]:
    """Open a client of the registry at an address, verifying this certificate for its name."""
    store = plan.topology.object_store
    with (
        tunnel(host, address, port) as target,
        dialer(partial(tunnel, host)) as dial,
    ):
        store_client = (
            object_store.http_client(plan.settings, store, plan.credentials, dial)
            if store
            else None
        )
        client = Registry(plan.topology.registry, certificate.trusted, target, store_client)
        try:
            yield client
        finally:
            client.close()
