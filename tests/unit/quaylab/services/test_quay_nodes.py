"""Quay's nodes: their names, and where their own host and the balancers reach them."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.model import LOOPBACK
from quaylab.services.quay_nodes import Node, nodes
from tests.unit import balanced
from tests.unit.samples import one_host, settings


def _nodes(**changes: Any) -> list[tuple[str, str, str, int]]:
    where = balanced.layout(**changes)
    found = nodes(settings(**{**balanced.SHARED, **changes}), where)
    return [(node.name, node.container, node.address, node.port) for node in found]


def test_one_container_on_each_host() -> None:
    assert _nodes() == [
        ("quay1.example.com", "quaylab-quay", "192.168.254.31", 8443),
        ("quay2.example.com", "quaylab-quay", "192.168.254.32", 8443),
    ]


def test_two_containers_on_each_host_have_ports_and_names_of_their_own() -> None:
    assert _nodes(quay_instances=2, quay_node_port=9443) == [
        ("quay1.example.com", "quaylab-quay", "192.168.254.31", 9443),
        ("quay1.example.com:2", "quaylab-quay-2", "192.168.254.31", 9444),
        ("quay2.example.com", "quaylab-quay", "192.168.254.32", 9443),
        ("quay2.example.com:2", "quaylab-quay-2", "192.168.254.32", 9444),
    ]


def test_without_a_balancer_a_node_is_the_registry() -> None:
    changes = {"quay_https_port": 9443}
    assert nodes(settings(**changes), one_host(**changes)) == (
        Node("quay.example.com", 1, LOOPBACK, 9443),
    )


def test_behind_a_balancer_elsewhere_every_node_is_reached_by_its_own_host() -> None:
    where = balanced.layout(0, balancer_host="192.168.254.200")
    found = nodes(settings(balancer_host="192.168.254.200"), where)
    assert found == tuple(Node(name, 1, LOOPBACK, 443) for name in balanced.QUAYS[:2])


@pytest.mark.parametrize(
    ("host", "instance", "name"),
    [
        ("quay1.example.com", 1, "quay1.example.com"),
        ("@docker/quay_1", 2, "_docker_quay_1:2"),
        ("@fake/quay 1", 1, "_fake_quay_1"),
    ],
)
def test_names_have_only_characters_that_haproxy_takes(host: str, instance: int, name: str) -> None:
    assert Node(host, instance, LOOPBACK, 443).name == name
