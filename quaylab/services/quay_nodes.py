"""Quay's nodes: its containers, and where each of them is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaylab.model import LOOPBACK, container_name
from quaylab.services.base import member_name

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology


@dataclass(frozen=True)
class Node:
    """One container of Quay's.

    Attributes:
        instance: which of its host's containers it is, from 1.
        address: where its own host and the balancers reach it.
    """

    host: str
    instance: int
    address: str
    port: int

    @property
    def container(self) -> str:
        return container_name("quay", self.instance)

    @property
    def name(self) -> str:
        """Its name in balancers and messages."""
        host = member_name(self.host)
        return host if self.instance == 1 else f"{host}:{self.instance}"


# The most containers of Quay's that a host may have.
MAX_CONTAINERS = 4


def nodes(settings: Settings, topology: Topology) -> tuple[Node, ...]:
    """Return all nodes, host by host."""
    if not topology.balancers:
        return tuple(Node(host, 1, LOOPBACK, topology.https_port) for host in topology.quay)
    return tuple(
        Node(host, instance, topology.addresses[host], settings.quay_node_port + instance - 1)
        for host in topology.quay
        for instance in range(1, settings.quay_instances + 1)
    )


def former_nodes(settings: Settings, topology: Topology, host: str) -> tuple[Node, ...]:
    """Return the nodes that a host may have had before, when `quay_instances` was higher or it was
    in the group `quay`."""
    present = [node for node in nodes(settings, topology) if node.host == host]
    address = topology.addresses.get(host, LOOPBACK)
    return tuple(
        Node(host, instance, address, settings.quay_node_port + instance - 1)
        for instance in range(len(present) + 1, MAX_CONTAINERS + 1)
    )
