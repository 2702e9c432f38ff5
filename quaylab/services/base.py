"""What a service says of itself. Whoever loops over the services asks these questions.

A service is one module of this folder with one subclass of :class:`Service`; the list of them is
in ``__init__.py``. docs/architecture.md tells how to add one.
"""

from __future__ import annotations

import shlex
from abc import ABC
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, ClassVar

from quaylab.endpoints import Endpoint
from quaylab.images import Image
from quaylab.model import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    LOOPBACK,
    PATH_LABEL,
    REGISTRY_LABEL,
    Container,
    ManagedFile,
    Mount,
    PublishedPort,
    Volume,
    container_name,
)
from quaylab.paths import ETC
from quaylab.secrets import making
from quaylab.secrets.passwords import ANYWHERE, Rule

if TYPE_CHECKING:
    # Settings and credentials are put together from the services' own.
    from quaylab.hosts.machine import Machine
    from quaylab.secrets.certificates import ServerCertificate
    from quaylab.secrets.credentials import Credentials
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

# A file with the secrets that a container reads as it starts.
ENVIRONMENT = "environment"
# Hosts by the groups of the inventory, each group bearing a service's name.
Groups = Mapping[str, Sequence[str]]


class Audience(Enum):
    """Who has to reach a port from outside its host."""

    EVERYBODY = "everybody"
    QUAY = "Quay's hosts"


@dataclass(frozen=True)
class Port:
    """A port of a service on a host.

    ``setting`` names the port, and ``address_setting`` the address at which it is published.
    """

    published: PublishedPort
    setting: str
    audience: Audience
    address_setting: str = "address"


class Maker(Enum):
    """Who makes a secret."""

    QUAYLAB = "Quaylab"
    # The administrator of a server elsewhere sets it, so Quaylab can make it up.
    ADMINISTRATOR = "an administrator"
    OTHERS = "others"


@dataclass(frozen=True)
class Secret:
    """A secret of a service's, made here or given by the environment or at a terminal.

    ``key`` is its field in the credentials, unless it is used in one run and not ``is_kept``;
    ``title`` says what it is, and ``make`` makes it up. ``is_given`` is whether the environment may
    give it. Data is encrypted with one that ``is_permanent``: it never changes. ``rule`` is what
    Quaylab's own image of the service takes.
    """

    key: str
    title: str = ""
    rule: Rule = ANYWHERE
    make: Callable[[Random], str] = making.password
    is_given: bool = True
    is_kept: bool = True
    is_permanent: bool = False


@dataclass(frozen=True)
class Need:
    """A secret that a run needs, who makes it, and whether a rotation changes it."""

    key: str
    maker: Maker
    is_rotated: bool = True


@dataclass(frozen=True)
class Workload:
    """A container of a service's on one host, with all that it needs there.

    ``password_refused`` is a shell command that succeeds inside the container if the service
    refuses the password that it was started with; empty if it is not to be asked. ``interruption``
    is what its clients meet while its container is another one or starts again, and
    ``before_stop`` a shell command inside that makes this shorter.
    """

    service: str
    image: Image
    files: tuple[ManagedFile, ...]
    volume: Volume | None
    container: Container
    password_refused: str = ""
    interruption: str = ""
    before_stop: str = ""


@dataclass(frozen=True)
class Context:
    """What a service is told of a run, once the run's settings are known to be good."""

    settings: Settings
    topology: Topology
    credentials: Credentials
    certificate: ServerCertificate
    machines: Mapping[str, Machine]


class Service(ABC):
    """A service of the registry. Its answers are the same for the same arguments.

    Attributes:
        name: the inventory's group of its hosts, and a part of its containers' names.
        title: what people call it.
        has_peers: whether its hosts need an address for each other.
        secrets: those that it may need.
        directories: the settings that name a host's directory for its data.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    has_peers: ClassVar[bool] = False
    secrets: ClassVar[tuple[Secret, ...]] = ()
    directories: ClassVar[tuple[str, ...]] = ()

    # --- what is said in the settings ---

    def elsewhere(self, settings: Settings) -> str | None:
        """The address at which somebody else runs it; None: it runs here."""
        return None

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        """What is wrong with its settings, or doesn't go together."""
        yield from ()

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        """The secrets that it needs."""
        yield from ()

    # --- where it is ---

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        """Why it can't run on the hosts of its group."""
        yield from ()

    def endpoint(
        self, settings: Settings, groups: Groups, address: Callable[[str], str]
    ) -> Endpoint | None:
        """Where Quay reaches it; None if Quay does not use it.

        Args:
            address: a host's address for its peers.
        """
        return None

    # --- what a host is to have of it ---

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        """The images that a host of its group needs."""
        return tuple(workload.image for workload in self.workloads(context, host))

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        """The ports at which it listens on a host of its group."""
        return ()

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        """Its containers on a host of its group, in the order in which they start."""
        return ()

    # --- what a host must be and hold ---

    def problems(self, context: Context) -> Iterator[str]:
        """Why its hosts, of those that the run is connected to, can't do their part."""
        yield from ()

    def data_note(self, leader: Machine) -> str | None:
        """The note on the leader by which its volumes must hold data; None if nothing is known."""
        return None


class SingleHostService(Service):
    """A service that Quay uses, on one host of its group or run by somebody else."""

    def inside_port(self, settings: Settings) -> int:
        raise NotImplementedError

    def outside_port(self, settings: Settings) -> int:
        raise NotImplementedError

    def listen(self, settings: Settings) -> str | None:
        """The address that the settings want it to listen on; None: no wider than it must."""
        raise NotImplementedError

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        hosts, elsewhere = groups[self.name], self.elsewhere(settings)
        if elsewhere and hosts:
            yield (
                f"{self.name}_host: {elsewhere} runs elsewhere, but group `{self.name}` has "
                f"{hosts[0]}: drop one of the two"
            )
        elif not elsewhere and not hosts:
            yield (
                f"{self.name}: no host in group `{self.name}`; put one there, or set "
                f"{self.name}_host to one that runs elsewhere"
            )
        elif len(hosts) > 1:
            yield (
                f"{self.name}: {len(hosts)} hosts in group `{self.name}`, but one can hold the "
                "data; keep one"
            )

    def endpoint(
        self, settings: Settings, groups: Groups, address: Callable[[str], str]
    ) -> Endpoint:
        port, elsewhere = self.outside_port(settings), self.elsewhere(settings)
        if elsewhere:
            return Endpoint(None, elsewhere, port, elsewhere, port, None)
        (host,) = groups[self.name]
        listen = self.listen(settings)
        if list(groups["quay"]) == [host]:
            # Both on one host: by container name on the internal network, published on
            # loopback for its operator and for our own probes.
            outside = listen or LOOPBACK
            inside = self.inside_port(settings)
            return Endpoint(host, container_name(self.name), inside, outside, port, outside)
        there = address(host)
        return Endpoint(host, there, port, there, port, listen or there)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        endpoint = context.topology.endpoints[self.name]
        if endpoint.host != host or endpoint.listen is None:
            return ()
        return (
            Port(
                PublishedPort(
                    self.inside_port(context.settings), endpoint.probe_port, endpoint.listen
                ),
                f"{self.name}_port",
                Audience.QUAY,
                f"{self.name}_listen" if self.listen(context.settings) else "address",
            ),
        )


def environment_file(service: str, uid: int, values: Mapping[str, str]) -> ManagedFile:
    """A shell file that the container reads, so that argv and `docker inspect` hold no secret."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return ManagedFile(f"{ETC}/{service}/{ENVIRONMENT}", lines, uid=uid, mode=0o400)


def with_environment(command: str) -> tuple[str, ...]:
    """A container's command with that file's variables."""
    return ("bash", "-c", f"set -a && . {ETC}/{ENVIRONMENT} && set +a && exec {command}")


def in_environment(script: str) -> str:
    """A shell command inside the container with that file's variables."""
    return f"bash -c {shlex.quote(f'. {ETC}/{ENVIRONMENT}; {script}')}"


def configuration_mount(service: str) -> Mount:
    """The folder of a service's files, as its container has it."""
    return Mount(f"{ETC}/{service}", ETC, read_only=True)


def volume_labels(context: Context, data: str, path: str | None) -> dict[str, str]:
    """What a data volume bears; checks/existing_data.py refuses a run that it doesn't fit.

    Args:
        data: what it holds, such as ``postgresql-15-c9s``.
    """
    return {
        DATA_LABEL: data,
        PATH_LABEL: path or "",
        CREDENTIALS_LABEL: context.credentials.fingerprint,
        REGISTRY_LABEL: "stand-in" if context.settings.image_source == "packages" else "quay",
    }
