"""A picture of an inventory: who runs what, and who connects to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from quaylab.services import BY_NAME, object_store
from quaylab.services.base import ROUTER, Context
from quaylab.services.ingress import NAME as INGRESS
from quaylab.services.quay_nodes import nodes

ELSEWHERE = ", which runs elsewhere"
# To which of several hosts a router leads.
SERVES = {"database": "whoever leads", "redis": "the first one that answers"}


@dataclass(frozen=True)
class Place:
    """A host with the services that it runs, each with the ports at which it listens."""

    name: str
    address: str
    services: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Flow:
    """A connection. ``target`` is a service's name or an address elsewhere; ``how`` says more."""

    source: str
    target: str
    port: int
    how: str


def places(context: Context) -> tuple[Place, ...]:
    """Return the hosts that run a service, in the order of the services."""
    topology = context.topology
    return tuple(
        Place(
            host,
            topology.addresses.get(host, "this host only"),
            tuple(
                (name, tuple(port.published.host for port in BY_NAME[name].ports(context, host)))
                for name, hosts in topology.hosts.items()
                if host in hosts
            ),
        )
        for host in topology.engine_hosts()
    )


def flows(context: Context) -> Iterator[Flow]:
    """Yield the connections, from the clients inwards."""
    settings, topology = context.settings, context.topology
    count = len(nodes(settings, topology))
    answering = f"{count} nodes" if count > 1 else "1 node"
    if settings.balancer_host:
        front = f"{settings.balancer_host}{ELSEWHERE}"
        yield Flow("clients", "balancer", topology.https_port, front)
        yield Flow("balancer", "quay", topology.https_port, answering)
    elif topology.balancers:
        front = topology.hostname
        if settings.virtual_address:
            front = f"{settings.virtual_address}, held by one of {', '.join(topology.balancers)}"
        yield Flow("clients", "balancer", topology.https_port, front)
        yield Flow("balancer", "quay", settings.quay_node_port, answering)
    else:
        yield Flow("clients", "quay", topology.https_port, topology.hostname)
    for name, endpoint in topology.endpoints.items():
        if name == object_store.NAME and topology.hosts[INGRESS]:
            yield Flow("quay", INGRESS, endpoint.port, endpoint.address)
            gateways = object_store.gateway_port(settings)
            yield Flow(INGRESS, "ceph", gateways, "a gateway that answers")
            continue
        if len(endpoint.hosts) > 1:
            yield Flow("quay", ROUTER, endpoint.port, f"on the same host, for {name}")
            yield Flow("router", name, endpoint.probe_port, SERVES[name])
            continue
        where = f"{endpoint.address}{ELSEWHERE}" if endpoint.is_elsewhere else endpoint.address
        yield Flow("quay", name, endpoint.port, where)

    if topology.database_members:
        yield Flow("router", "database", settings.patroni_port, "asks Patroni who leads")
        yield Flow("database", "etcd", settings.etcd_port, "keeps there who leads")
        yield Flow("etcd", "etcd", settings.etcd_peer_port, "agrees with a majority")


def text(context: Context, version: str) -> str:
    """Return the picture for a terminal."""
    found, lines = places(context), [f"{context.topology.url}, Quay {version}", ""]
    width = max(len(place.name) for place in found)
    across = max(len(place.address) for place in found)
    for place in found:
        services = "   ".join(
            " ".join([name, *map(_port, ports)]) for name, ports in place.services
        )
        lines.append(f"{place.name:{width}}  {place.address:{across}}  {services}")
    lines.append("")
    connections = list(flows(context))
    source = max(len(each.source) for each in connections)
    target = max(len(f"{each.target} {_port(each.port)}") for each in connections)
    for each in connections:
        end = f"{each.target} {_port(each.port)}".replace("_", " ")
        lines.append(f"{each.source:>{source}} ──▶ {end:{target}}  {each.how}".rstrip())
    return "\n".join(lines)


def mermaid(context: Context) -> str:
    """Return the picture as Mermaid's flowchart, which GitHub and GitLab draw in a page."""
    found, connections = places(context), list(flows(context))
    lines = ["flowchart LR", "    clients([clients])"]
    for number, place in enumerate(found):
        lines.append(f'    subgraph host{number}["{place.name}<br>{place.address}"]')
        lines += [f'        {_node(name, number)}["{name}"]' for name, _ in place.services]
        lines.append("    end")
    members = {
        name: [_node(name, at) for at, place in enumerate(found) if name in dict(place.services)]
        for name in BY_NAME
    }
    for each in connections:
        sources = members.get(each.source) or [each.source]
        targets = members.get(each.target) or [_elsewhere(each)]
        pairs = [(sources, targets)]
        if each.target == ROUTER:  # each uses the one on its own host
            pairs = [([source], [target]) for source, target in zip(sources, targets, strict=True)]
        for left, right in pairs:
            lines.append(f"    {' & '.join(left)} -->|{each.port}| {' & '.join(right)}")
    return "\n".join(lines)


def _node(name: str, number: int) -> str:
    return f"{name}{number}"


def _elsewhere(flow: Flow) -> str:
    return f'{flow.target}elsewhere["{flow.target}<br>{flow.how.partition(",")[0]}"]'


def _port(number: int) -> str:
    return f":{number}"
