"""Which addresses services listen on, and from where they can be reached."""

from __future__ import annotations

import socket

import pytest

from quaylab.model import EVERYWHERE, LOOPBACK
from tests.hosts.lab import Lab, Target
from tests.hosts.places import EndpointPlace, WorkloadPlace

TIMEOUT = 3


def test_is_published_as_planned_only(workload: WorkloadPlace) -> None:
    bindings = workload.inspect()["HostConfig"]["PortBindings"] or {}
    published = {
        # Podman before 5 has no address for "everywhere".
        f"{outside['HostIp'] or EVERYWHERE}:{outside['HostPort']}:{inside.removesuffix('/tcp')}"
        for inside, addresses in bindings.items()
        for outside in addresses
    }
    assert published == {str(port) for port in workload.workload.container.ports}


def test_listens_on_the_planned_addresses_only(workload: WorkloadPlace, lab: Lab) -> None:
    """Another container may have the same port at another address: a router, beside a member."""
    for port in workload.workload.container.ports:
        planned = {
            each.address
            for beside in lab.plan.workloads_of(workload.target.name)
            for each in beside.container.ports
            if each.host == port.host
        }
        # There is none if the engine forwards in the kernel, without its proxy.
        assert _listening(workload.target, port.host) <= planned


def test_listens_no_wider_than_its_users_need(endpoint: EndpointPlace, lab: Lab) -> None:
    """On the configured address; else on loopback if Quay is on the same host, or on the address
    for its peers. The registry's clients use an object store as well."""
    settings, where = lab.plan.settings, lab.plan.topology
    configured = getattr(settings, f"{endpoint.name}_listen", None)
    if configured:
        assert endpoint.endpoint.listen == configured
    elif where.quay == endpoint.endpoint.hosts and endpoint.name != "object_store":
        assert endpoint.endpoint.listen == LOOPBACK
    else:
        assert endpoint.endpoint.listen not in (EVERYWHERE, "::", LOOPBACK)


def test_loopback_endpoint_is_not_reachable_from_outside(loopback_endpoint: EndpointPlace) -> None:
    """From the machine that runs pytest, at every other address that the host has."""
    for address in loopback_endpoint.target.machine.addresses:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable|No route"):
            socket.create_connection(
                (address, loopback_endpoint.endpoint.probe_port), TIMEOUT
            ).close()


def _listening(target: Target, port: int) -> set[str]:
    """Return the addresses that something listens on at a port."""
    found = set()
    for listener in target.shell.socket("tcp://0").get_listening_sockets():
        address, _, number = listener.removeprefix("tcp://").rpartition(":")
        if listener.startswith("tcp://") and int(number) == port:
            found.add(address)
    return found
