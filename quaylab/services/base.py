"""The interface of a service: what the rest of Quaylab asks each of them.

A service is one module of this folder with one subclass of :class:`Service`; ``__init__.py`` lists
them. docs/architecture.md explains how to add one.
"""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from quaylab.endpoints import Endpoint
from quaylab.images import Image
from quaylab.model import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    IMPLEMENTATION_LABEL,
    LOOPBACK,
    PATH_LABEL,
    Container,
    ManagedFile,
    PublishedPort,
    Volume,
    container_name,
)
from quaylab.secrets import making
from quaylab.secrets.passwords import ANYWHERE, Rule
from quaylab.settings.types import is_loopback

if TYPE_CHECKING:
    # Settings and credentials are composed of the services' own classes.
    from quaylab.hosts.machine import Machine
    from quaylab.secrets.certificates import ServerCertificate
    from quaylab.secrets.credentials import Credentials
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

# The service that leads Quay to the one of several hosts that serves.
ROUTER = "router"
# The hosts of each inventory group; a group has the name of its service.
Groups = Mapping[str, Sequence[str]]


class Audience(Enum):
    """Who must reach a port from outside its host."""

    EVERYBODY = "everybody"
    QUAY = "Quay's hosts"
    BALANCERS = "the balancers"
    DATABASE = "the database's hosts"
    DATABASE_AND_QUAY = "the hosts of database and Quay"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Port:
    """A port of a service on a host.

    ``setting`` is the setting of the port number, ``address_setting`` that of the address at which
    it is published.
    """

    published: PublishedPort
    setting: str
    audience: Audience
    address_setting: str = "address"


class Maker(Enum):
    """Who creates a secret."""

    QUAYLAB = "Quaylab"
    # Quaylab generates it, and sets it in an external server as the server's administrator.
    ADMINISTRATOR = "an administrator"
    # It is given: an external server has it.
    OTHERS = "others"


@dataclass(frozen=True)
class Secret:
    """A secret of a service: generated here, or given by the environment or at a terminal.

    Attributes:
        key: its field in the credentials, if it ``is_stored``; else it serves one run only.
        title: what it is, in words.
        rule: which values Quaylab's own image of the service accepts.
        make: generates it.
        has_variable: whether an environment variable may give it.
        is_permanent: data is encrypted with it, so it never changes.
    """

    key: str
    title: str = ""
    rule: Rule = ANYWHERE
    make: Callable[[], str] = making.password
    has_variable: bool = True
    is_stored: bool = True
    is_permanent: bool = False


@dataclass(frozen=True)
class Need:
    """A secret that a run needs, who creates it, and whether a rotation changes it."""

    key: str
    maker: Maker
    is_rotated: bool = True


@dataclass(frozen=True)
class Workload:
    """A container of a service on one host, with everything that it needs there.

    Attributes:
        password_refused: a shell command that succeeds inside the container if the service refuses
            the password that it was started with; empty: no such check.
        interruption: what clients notice while the container is replaced or restarted.
        when_healthy: a shell command that runs inside the container once it has become healthy, and
            may fail.
        before_stop: a shell command that makes the interruption shorter, run inside the container
            before it is stopped.
        starts_with_low_shares: whether others serve while it starts, and need the processors more.
    """

    service: str
    image: Image
    files: tuple[ManagedFile, ...]
    volume: Volume | None
    container: Container
    password_refused: str = ""
    interruption: str = ""
    when_healthy: str = ""
    before_stop: str = ""
    starts_with_low_shares: bool = False


@dataclass(frozen=True)
class Context:
    """What a service knows about a run, once the run's settings are validated.

    ``certificate`` is the one that clients see. ``node_certificate`` is that of Quay's nodes, which
    is our own CA's behind balancers: so a new certificate of yours replaces no node. ``machines``
    are the reports of the hosts that the run is connected to.
    """

    settings: Settings
    topology: Topology
    credentials: Credentials
    certificate: ServerCertificate
    node_certificate: ServerCertificate
    machines: Mapping[str, Machine]

    @property
    def is_balanced(self) -> bool:
        """Whether clients reach Quay through a balancer, ours or one that runs elsewhere."""
        return bool(self.topology.balancers or self.settings.balancer_host)

    def connected(self, hosts: Iterable[str]) -> tuple[str, ...]:
        """Return those of the hosts that this run is connected to."""
        return tuple(host for host in hosts if host in self.machines)


class Service(ABC):
    """A service of the registry. Its methods need no host: same arguments, same result.

    Attributes:
        name: the inventory group of its hosts, and a part of its containers' names.
        title: its name for people.
        needs_peer_address: whether other hosts connect to its hosts at their addresses.
        secrets: the secrets that it may need.
        directories: the settings that name a host directory for its data.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs_peer_address: ClassVar[bool] = False
    secrets: ClassVar[tuple[Secret, ...]] = ()
    directories: ClassVar[tuple[str, ...]] = ()

    # --- settings ---

    def external_address(self, settings: Settings) -> str | None:
        """The address of the external server; None if Quaylab runs the service itself."""
        return None

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        """Yield what is wrong with its settings or their combination."""
        yield from ()

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        """Yield the secrets that it needs."""
        yield from ()

    def with_keys(
        self, credentials: Credentials, settings: Settings, topology: Topology
    ) -> Credentials:
        """Return the credentials with the keys and certificates that its hosts need."""
        return credentials

    # --- placement ---

    def hosts(self, settings: Settings, groups: Groups) -> tuple[str, ...]:
        """Return the hosts that run it: those of its group."""
        return tuple(groups[self.name])

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        """Yield why it can't run on the hosts of its group."""
        yield from ()

    def endpoint(
        self, settings: Settings, groups: Groups, address: Callable[[str], str]
    ) -> Endpoint | None:
        """Where Quay reaches it; None if Quay does not connect to it.

        Args:
            address: returns the address at which the other hosts reach a host.
        """
        return None

    # --- what runs on its hosts ---

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        """Return the images that one of its hosts needs, each after the one that it is built on."""
        return tuple(workload.image for workload in self.workloads(context, host))

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        """Return the ports at which it listens on one of its hosts."""
        return ()

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        """Return its containers on one of its hosts, in the order in which they start."""
        return ()

    # --- what its hosts must have ---

    def problems(self, context: Context) -> Iterator[str]:
        """Yield why connected hosts of its group don't meet its requirements."""
        yield from ()

    def data_note(self, quay: Machine) -> str | None:
        """The path of a Quay host's note that its volumes held data; None if there is no note."""
        return None

    @property
    def keeps_data(self) -> bool:
        """Whether Quay's hosts note that its volumes held data: :meth:`data_note` is its own."""
        return type(self).data_note is not Service.data_note


class BackingService(Service):
    """A service that Quay uses, on the hosts of its group or on an external server.

    Quay reaches a single host of its group directly. If there are several, it reaches the router on
    its own host, which leads to the one that serves.
    """

    # Who reaches each of several hosts.
    audience_of_several: ClassVar[Audience] = Audience.QUAY

    def inside_port(self, settings: Settings) -> int:
        raise NotImplementedError

    def outside_port(self, settings: Settings) -> int:
        raise NotImplementedError

    def listen_address(self, settings: Settings) -> str | None:
        """The address to listen on that is set; None: the narrowest at which Quay reaches it."""
        raise NotImplementedError

    def host_count_problems(self, settings: Settings, number: int) -> Iterator[str]:
        """Yield why it can't run on so many hosts."""
        raise NotImplementedError

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        hosts, external = groups[self.name], self.external_address(settings)
        listen = self.listen_address(settings)
        elsewhere = [name for name in groups["quay"] if name not in hosts]
        for key in (f"{self.name}_listen", *self.directories):
            if external and (value := getattr(settings, key)):
                yield (
                    f"{key}: {value} is for one that Quaylab runs, and {self.name}_host is set to "
                    f"{external}; leave out one of the two"
                )
        if external and hosts:
            yield (
                f"{self.name}_host: {external} runs elsewhere, but group `{self.name}` has "
                f"{hosts[0]}: drop one of the two"
            )
        elif not external and not hosts:
            yield (
                f"{self.name}: no host in group `{self.name}`; put one there, or set "
                f"{self.name}_host to one that runs elsewhere"
            )
        elif len(hosts) > 1:
            yield from self.host_count_problems(settings, len(hosts))
            if listen:
                yield (
                    f"{self.name}_listen: {listen}, but each of {len(hosts)} hosts listens at an "
                    "address of its own; leave it out"
                )
        elif hosts and elsewhere and listen and is_loopback(listen):
            yield (
                f"{self.name}_listen: {listen} can only be reached on {hosts[0]}, and Quay runs on "
                f"{elsewhere[0]}; leave it out"
            )

    def endpoint(
        self, settings: Settings, groups: Groups, address: Callable[[str], str]
    ) -> Endpoint:
        port, external = self.outside_port(settings), self.external_address(settings)
        if external:
            return Endpoint((), external, port, external, port, None)
        inside, hosts = self.inside_port(settings), self.hosts(settings, groups)
        if len(hosts) > 1:
            for host in hosts:
                address(host)
            # The same name on all of Quay's hosts, so that their bundles are the same.
            return Endpoint(hosts, container_name(ROUTER), inside, LOOPBACK, port, None)
        (host,), listen = hosts, self.listen_address(settings)
        if list(groups["quay"]) == [host]:
            # Both on one host: Quay uses the container's name on the internal network. The port is
            # published on loopback for the operator and for our own probes.
            outside = listen or LOOPBACK
            return Endpoint(hosts, container_name(self.name), inside, outside, port, outside)
        peer_address = address(host)
        return Endpoint(hosts, peer_address, port, peer_address, port, listen or peer_address)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        settings, topology = context.settings, context.topology
        hosts, listen = topology.hosts[self.name], topology.endpoints[self.name].listen
        if host not in hosts:
            return ()
        return (
            Port(
                PublishedPort(
                    self.inside_port(settings),
                    self.outside_port(settings),
                    listen or topology.addresses[host],
                ),
                f"{self.name}_port",
                Audience.QUAY if len(hosts) == 1 else self.audience_of_several,
                f"{self.name}_listen" if self.listen_address(settings) else "address",
            ),
        )


class CompanionService(Service):
    """A service without a group: it runs where others need it."""

    # Where it runs, in words.
    where: ClassVar[str]

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        if hosts := groups[self.name]:
            yield (
                f"{self.name}: {hosts[0]} is in group `{self.name}`, which takes no hosts; "
                f"{self.title} runs {self.where}: leave the group out"
            )


def member_name(host: str) -> str:
    """Return a host's name as a member of a cluster, in the characters that HAProxy takes."""
    return re.sub("[^A-Za-z0-9_.-]", "_", host)


def volume_labels(context: Context, data: str, path: str | None) -> dict[str, str]:
    """Return the labels of a data volume; checks/existing_data.py compares them in each run.

    Args:
        data: what the volume holds, such as ``postgresql-15-c9s``.
    """
    return {
        DATA_LABEL: data,
        PATH_LABEL: path or "",
        CREDENTIALS_LABEL: context.credentials.fingerprint,
        IMPLEMENTATION_LABEL: "stand-in" if context.settings.uses_packages else "quay",
    }
