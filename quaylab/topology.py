"""Which hosts run which service, and at which address; all modules get both from here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quaylab.endpoints import Endpoint, StoreEndpoint
from quaylab.model import LOOPBACK
from quaylab.problems import refuse
from quaylab.services import SERVICES
from quaylab.services.base import Groups
from quaylab.settings.loading import HostInput, HostSettings, Settings
from quaylab.settings.types import FULL_NAME, is_ip_address

DEFAULT_HOSTNAME = "quay.quaylab.lan"


@dataclass(frozen=True)
class Topology:
    """The services of a run and their addresses.

    ``hosts`` has the hosts of each service, ``endpoints`` the services that Quay uses, and
    ``addresses`` the addresses of hosts for their peers. Quay has at least one host; the first is
    the leader.
    """

    hostname: str
    https_port: int
    hosts: Mapping[str, tuple[str, ...]]
    endpoints: Mapping[str, Endpoint]
    addresses: Mapping[str, str]
    quay_address: str

    @property
    def quay(self) -> tuple[str, ...]:
        return self.hosts["quay"]

    @property
    def leader(self) -> str:
        return self.quay[0]

    @property
    def database(self) -> Endpoint:
        return self.endpoints["database"]

    @property
    def redis(self) -> Endpoint:
        return self.endpoints["redis"]

    @property
    def store(self) -> StoreEndpoint | None:
        """The object store; None if the blobs are stored in a volume on Quay's host."""
        found = self.endpoints.get("object_store")
        return found if isinstance(found, StoreEndpoint) else None

    @property
    def registry(self) -> str:
        """SERVER_HOSTNAME, and what a Docker client puts before an image's name."""
        return self.hostname if self.https_port == 443 else f"{self.hostname}:{self.https_port}"

    @property
    def docker_trust(self) -> str:
        """The file in which Docker looks for this registry's CA, on clients and on the hosts."""
        return docker_trust(self.registry)

    @property
    def url(self) -> str:
        return f"https://{self.registry}"

    def engine_hosts(self) -> tuple[str, ...]:
        """Return the hosts that need a container engine."""
        return tuple(dict.fromkeys(host for hosts in self.hosts.values() for host in hosts))


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
    by_name = {host.name: host for host in hosts}
    addresses: dict[str, str] = {}

    def address(name: str) -> str:
        """Return a host's address for its peers; without one add a problem and return loopback."""
        if name not in addresses:
            found = _address(by_name[name], host_settings[name], reported.get(name, ()))
            if found is None:
                seen = ", ".join(reported.get(name, ())) or "none reported"
                problems.append(
                    f"address: {name} needs one for its peers (found: {seen}); set `address` in "
                    "its data"
                )
            addresses[name] = found or LOOPBACK
        return addresses[name]

    members = groups(hosts)
    endpoints: dict[str, Endpoint] = {}
    for service in SERVICES:
        misplaced = list(service.placement_problems(settings, members))
        problems += misplaced
        if not misplaced and (endpoint := service.endpoint(settings, members, address)):
            endpoints[service.name] = endpoint
        if service.needs_peer_address:
            for name in members[service.name]:
                address(name)
    quay = members["quay"]
    alone = {host.name for host in hosts} == set(quay)
    # Worked out only if a peer needs it: without an address that would be a problem.
    quay_address = LOOPBACK if alone or not quay else address(quay[0])
    hostname = registry_name(settings, quay)
    if is_ip_address(hostname):
        problems.append(
            f"server_hostname: {hostname} is an address; a name is needed, for the certificate "
            f"and because Docker skips TLS checks on 127.0.0.0/8: for example {DEFAULT_HOSTNAME}"
        )
    refuse(problems)
    placed = {name: tuple(hosts) for name, hosts in members.items()}
    https_port = settings.quay_https_port
    return Topology(hostname, https_port, placed, endpoints, addresses, quay_address)


def _address(host: HostInput, settings: HostSettings, reported: tuple[str, ...]) -> str | None:
    """Return a host's address for its peers; None if it is not known."""
    if settings.address:
        return settings.address
    for candidate in (host.data.get("ssh_hostname"), host.name):
        if is_ip_address(candidate):
            return str(candidate)
    return reported[0] if len(reported) == 1 else None


def registry_name(settings: Settings, quay: Sequence[str]) -> str:
    """Return SERVER_HOSTNAME: the setting, or else a name that follows from Quay's hosts."""
    return settings.server_hostname or _full_name(quay) or DEFAULT_HOSTNAME


def docker_trust(registry: str) -> str:
    """Return the file in which Docker looks for a registry's CA; it reads it at each connection."""
    return f"/etc/docker/certs.d/{registry}/ca.crt"


def _full_name(quay: Sequence[str]) -> str | None:
    """Return the Quay host's name in the inventory if it is a full DNS name."""
    name = quay[0].lower() if quay else ""
    return name if FULL_NAME.fullmatch(name) and not is_ip_address(name) else None
