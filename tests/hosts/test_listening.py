"""Who listens where, and who can reach it."""

from __future__ import annotations

import socket

import pytest

from quaylab.parts import EVERYWHERE
from quaylab.topology import LOOPBACK
from tests.hosts.lab import Lab, Target
from tests.hosts.places import PartPlace, ServicePlace

TIMEOUT = 3


def test_is_published_as_planned_only(part: PartPlace) -> None:
    bindings = part.inspect()["HostConfig"]["PortBindings"] or {}
    published = {
        f"{outside['HostIp']}:{outside['HostPort']}:{inside.removesuffix('/tcp')}"
        for inside, addresses in bindings.items()
        for outside in addresses
    }
    assert published == {str(port) for port in part.part.container.ports}


def test_listens_on_the_planned_address_only(part: PartPlace) -> None:
    for port in part.part.container.ports:
        # None if the engine does it in the kernel, without its proxy.
        assert _listening(part.target, port.host) <= {port.address}


def test_service_is_as_narrow_as_its_users_allow(service: ServicePlace, lab: Lab) -> None:
    """Loopback if Quay is on the same host, else the address for its peers, unless it is set."""
    settings, where = lab.plan.settings, lab.plan.topology
    told = settings.database_listen if service.service is where.database else settings.redis_listen
    if told:
        assert service.service.listen == told
    elif where.quay == (service.service.host,):
        assert service.service.listen == LOOPBACK
    else:
        assert service.service.listen not in (EVERYWHERE, "::", LOOPBACK)


def test_loopback_service_is_out_of_reach_from_outside(loopback_service: ServicePlace) -> None:
    """From the machine that runs pytest, at every other address that the host has."""
    for address in loopback_service.target.machine.addresses:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable|No route"):
            socket.create_connection(
                (address, loopback_service.service.probe_port), TIMEOUT
            ).close()


def _listening(target: Target, port: int) -> set[str]:
    """Addresses that something listens on at a port."""
    found = set()
    for listener in target.shell.socket("tcp://0").get_listening_sockets():
        address, _, number = listener.removeprefix("tcp://").rpartition(":")
        if listener.startswith("tcp://") and int(number) == port:
            found.add(address)
    return found
