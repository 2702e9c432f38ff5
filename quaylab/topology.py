"""Which hosts run which service, and at which address; all modules get both from here."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quaylab.endpoints import Endpoint, StoreEndpoint
from quaylab.engines import DOCKER
from quaylab.model import LOOPBACK
from quaylab.problems import refuse
from quaylab.services import SERVICES
from quaylab.services.base import Audience, Groups, member_name
from quaylab.settings.loading import HostInput, HostSettings, Settings
from quaylab.settings.types import FULL_NAME, canonical_address, is_ip_address, is_loopback

DEFAULT_HOSTNAME = "quay.quaylab.lan"


@dataclass(frozen=True)
class Topology:
    """The services of a run and their addresses.

    ``hosts`` has the hosts of each service, ``endpoints`` the services that Quay uses, and
    ``addresses`` the addresses of hosts for their peers. ``front`` is the name or address at which
    the hosts reach the registry. ``first_quay`` is the first of Quay's hosts that
    takes part, which does what one of them does for all.
    """

    hostname: str
    https_port: int
    hosts: Mapping[str, tuple[str, ...]]
    endpoints: Mapping[str, Endpoint]
    addresses: Mapping[str, str]
    front: str
    first_quay: str

    @property
    def quay(self) -> tuple[str, ...]:
        return self.hosts["quay"]

    @property
    def database_members(self) -> tuple[str, ...]:
        """The hosts of the database's cluster; none if one host has the database, or none."""
        hosts = self.hosts["database"]
        return hosts if len(hosts) > 1 else ()

    @property
    def member_addresses(self) -> dict[str, str]:
        """The addresses of the database's members by their names."""
        return {member_name(host): self.addresses[host] for host in self.database_members}

    @property
    def balancers(self) -> tuple[str, ...]:
        return self.hosts["balancer"]

    @property
    def database(self) -> Endpoint:
        return self.endpoints["database"]

    @property
    def redis(self) -> Endpoint:
        return self.endpoints["redis"]

    @property
    def object_store(self) -> StoreEndpoint | None:
        """The object store; None if the blobs are stored in a volume on Quay's host."""
        found = self.endpoints.get("object_store")
        return found if isinstance(found, StoreEndpoint) else None

    @property
    def registry(self) -> str:
        """SERVER_HOSTNAME, and what a Docker client puts before an image's name."""
        return self.hostname if self.https_port == 443 else f"{self.hostname}:{self.https_port}"

    @property
    def docker_trust(self) -> str:
        """The file in which a client's Docker looks for this registry's CA."""
        return DOCKER.trust(self.registry)

    @property
    def url(self) -> str:
        return f"https://{self.registry}"

    def engine_hosts(self) -> tuple[str, ...]:
        """Return the hosts that need a container engine."""
        return tuple(dict.fromkeys(host for hosts in self.hosts.values() for host in hosts))

    def addresses_of(self, audience: Audience) -> tuple[str, ...]:
        """Return the addresses of the hosts that must reach a port; loopback for a host that has
        no peers."""
        database = self.hosts["database"]
        hosts = {
            Audience.QUAY: self.quay,
            Audience.BALANCERS: self.balancers,
            Audience.DATABASE: database,
            Audience.DATABASE_AND_QUAY: tuple(dict.fromkeys((*database, *self.quay))),
        }
        return tuple(self.addresses.get(host, LOOPBACK) for host in hosts.get(audience, ()))


def groups(hosts: list[HostInput]) -> Groups:
    """Return the hosts of each service, by the inventory's groups."""
    return {
        service.name: tuple(host.name for host in hosts if service.name in host.groups)
        for service in SERVICES
    }


def build(
    settings: Settings,
    hosts: list[HostInput],
    host_settings: Mapping[str, HostSettings],
    reported: Mapping[str, tuple[str, ...]],
) -> Topology:
    """Work out the topology of an inventory.

    Args:
        reported: the addresses that each connected host reports.

    Raises:
        Refusal: a service has no host or too many, or a host needs an address and has none.
    """
    problems: list[str] = []
    peers = _PeerAddresses(hosts, host_settings, reported, problems)
    in_groups = groups(hosts)
    endpoints: dict[str, Endpoint] = {}
    for service in SERVICES:
        misplaced = list(service.placement_problems(settings, in_groups))
        problems += misplaced
        if not misplaced and (endpoint := service.endpoint(settings, in_groups, peers.address)):
            endpoints[service.name] = endpoint
        if service.needs_peer_address:
            for name in in_groups[service.name]:
                peers.address(name)
        problems += _shared_names(service.name, in_groups[service.name])
    quay, balancers = in_groups["quay"], in_groups["balancer"]
    alone = len(hosts) == len(quay) == 1
    if balancers or not alone:
        # Worked out only if a peer needs it: without an address that would be a problem.
        for name in (*balancers, *quay):
            peers.address(name)
    problems += _shared_addresses(peers.usable)
    hostname = registry_name(settings, in_groups)
    problems += _hostname_problems(settings, hostname, balancers)
    refuse(problems)
    placed = {service.name: service.hosts(settings, in_groups) for service in SERVICES}
    https_port = settings.quay_https_port
    front = settings.balancer_host or settings.virtual_address
    front = front or peers.found.get((balancers or quay)[0], LOOPBACK)
    first_quay = next((name for name in quay if name in reported), quay[0])
    return Topology(hostname, https_port, placed, endpoints, peers.found, front, first_quay)


class _PeerAddresses:
    """The addresses at which hosts are reached by their peers, worked out as they are needed.

    Attributes:
        found: the addresses so far; loopback for a host that has none.
    """

    def __init__(
        self,
        hosts: Sequence[HostInput],
        host_settings: Mapping[str, HostSettings],
        reported: Mapping[str, tuple[str, ...]],
        problems: list[str],
    ) -> None:
        """``problems`` gets a line for each host that is asked for and has no such address."""
        self.found: dict[str, str] = {}
        self._hosts = {host.name: host for host in hosts}
        self._given = {name: each.address for name, each in host_settings.items()}
        self._reported = reported
        self._problems = problems
        # A host without peers may have any address, such as that of a forwarded port.
        self._has_peers = len(hosts) > 1

    def address(self, name: str) -> str:
        """Return a host's address for its peers; without one add a problem and return loopback."""
        if name not in self.found:
            given, found = self._given[name], self._address(name)
            if given and self._has_peers and not _is_for_peers(given):
                self._problems.append(
                    f"address: {given} of {name} doesn't lead other hosts to it; set the address "
                    "at which they reach it"
                )
            elif found is None:
                seen = ", ".join(self._reported.get(name, ())) or "none reported"
                self._problems.append(
                    f"address: {name} needs one for its peers (found: {seen}); set `address` in "
                    "its data"
                )
            self.found[name] = found or LOOPBACK
        return self.found[name]

    @property
    def usable(self) -> dict[str, str]:
        """The addresses without what a host reports and is no address yet."""
        return {
            name: address
            for name, address in self.found.items()
            if self._given[name] or is_ip_address(address)
        }

    def _address(self, name: str) -> str | None:
        if given := self._given[name]:
            return given
        host, reported = self._hosts[name], self._reported.get(name, ())
        for candidate in (host.data.get("ssh_hostname"), host.name):
            # Vagrant's ssh_hostname is 127.0.0.1, with a port of its own for each machine.
            if is_ip_address(candidate) and (not self._has_peers or _is_for_peers(str(candidate))):
                return canonical_address(str(candidate))
        return reported[0] if len(reported) == 1 else None


def _hostname_problems(
    settings: Settings, hostname: str, balancers: Sequence[str]
) -> Iterator[str]:
    """Yield why clients can't use the registry's name."""
    if len(balancers) > 1 and settings.server_hostname is None:
        yield (
            f"server_hostname: not set, and none of {len(balancers)} balancers has the registry's "
            "name; set one that leads to them all"
        )
    if is_ip_address(hostname):
        yield (
            f"server_hostname: {hostname} is an address; a name is needed, for the certificate "
            f"and because Docker skips TLS checks on 127.0.0.0/8: for example {DEFAULT_HOSTNAME}"
        )


def _is_for_peers(address: str) -> bool:
    """Whether an address or a name can lead other hosts to a host."""
    if is_ip_address(address):
        found = ipaddress.ip_address(address)
        return not (found.is_loopback or found.is_unspecified or found.is_multicast)
    return not is_loopback(address)


def _shared_addresses(addresses: Mapping[str, str]) -> Iterator[str]:
    """Yield the addresses that several hosts have."""
    hosts: dict[str, list[str]] = {}
    for name, address in addresses.items():
        hosts.setdefault(address.lower(), []).append(name)
    for address, names in hosts.items():
        if len(names) > 1 and _is_for_peers(address):
            yield (
                f"address: {address} is that of {' and '.join(names)}; set for each host the one "
                "at which the others reach it"
            )


def _shared_names(group: str, hosts: Sequence[str]) -> Iterator[str]:
    """Yield hosts of a group that would have one name as its members."""
    for one, other in itertools.combinations(hosts, 2):
        if (name := member_name(one)) == member_name(other):
            yield (
                f"{group}: {one} and {other} would both be {name} as members; give one of "
                "them a different name in the inventory"
            )


def registry_name(settings: Settings, groups: Groups) -> str:
    """Return SERVER_HOSTNAME: the setting, or else a name that follows from the balancer's or
    Quay's host."""
    elsewhere = [settings.balancer_host] if settings.balancer_host else []
    hosts = elsewhere or groups["balancer"] or groups["quay"]
    return settings.server_hostname or _full_name(hosts) or DEFAULT_HOSTNAME


def purge_problems(purge: str | None, hostname: str) -> list[str]:
    """Return what is wrong with the setting ``purge``: it has to repeat the registry's name."""
    if purge in (None, hostname):
        return []
    return [f"purge: {purge!r} is not this registry's name, {hostname}"]


def _full_name(hosts: Sequence[str]) -> str | None:
    """Return the name of the only host if it is a full DNS name: that of several is none's."""
    name = hosts[0].lower() if len(hosts) == 1 else ""
    return name if FULL_NAME.fullmatch(name) and not is_ip_address(name) else None
