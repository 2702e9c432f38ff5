"""Requirements of the services on a host; each problem says what was found and what is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from quaylab.engines import BY_NAME, DOCKER
from quaylab.hosts.machine import Machine
from quaylab.model import container_name
from quaylab.services.base import Port, Workload
from quaylab.settings.loading import Settings

# The architectures of both Quay's and sclorg's images.
ARCHITECTURES = ("x86_64", "aarch64", "ppc64le", "s390x")
# The first one with `docker volume`, `--stop-timeout` and health checks; the one of RHEL 7.
OLDEST_ENGINE = (1, 13)
# In seconds. Tokens and certificates hold times; Quay tolerates 30 s in a token.
CLOCK_TOLERANCE = 30
IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}$")


def problems(
    name: str,
    machine: Machine,
    settings: Settings,
    workloads: Sequence[Workload],
    ports: Sequence[tuple[str, Port]],
) -> Iterator[str]:
    """Yield why a host can't run its services; a host without services has no requirements.

    Args:
        ports: each service's name and a port at which it listens.
    """
    if not (workloads or ports):
        return
    if machine.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        yield f"{name}: found architecture {machine.architecture}, needed one of {known}"
    if abs(machine.clock_ahead) > CLOCK_TOLERANCE:
        yield (
            f"{name}: its clock is {machine.clock_ahead:+.0f} s off this machine's, at most "
            f"{CLOCK_TOLERANCE} s is allowed; start chrony or another NTP client on both"
        )
    yield from _engine(name, machine)
    if workloads:
        yield from _disks(name, machine, settings, workloads)
        yield from _ports(name, machine, workloads, ports)
        yield from _addresses(name, machine, ports)


def _engine(name: str, machine: Machine) -> Iterator[str]:
    # Podman's version is looked at with the report.
    is_docker = machine.container_engine == DOCKER.name
    if is_docker and machine.engine and machine.engine.version:
        major, minor = machine.engine.version.split(".")[:2]
        if (int(major), int(minor)) < OLDEST_ENGINE:
            oldest = ".".join(map(str, OLDEST_ENGINE))
            yield f"{name}: found Docker {machine.engine.version}, needed {oldest} or newer"


def _disks(
    name: str, machine: Machine, settings: Settings, workloads: Sequence[Workload]
) -> Iterator[str]:
    """Yield mount points with too little space for data that doesn't exist yet."""
    existing = {volume.name for volume in machine.volumes}
    root = machine.engine.root_directory if machine.engine else None
    root = root or BY_NAME[machine.container_engine].root
    volumes = [workload.volume for workload in workloads if workload.volume]
    purposes: dict[str, list[str]] = {}
    for volume in volumes:
        mount = machine.mount_of(volume.path or root)
        if mount and volume.name not in existing:
            purposes.setdefault(mount, []).append(volume.purpose)
    # A Quay host without volumes has its images if it has the note of the blobs.
    if not (existing or machine.storage) and (mount := machine.mount_of(root)):
        purposes.setdefault(mount, []).insert(0, "images")
    for mount, what in purposes.items():
        if machine.free_mb[mount] < settings.minimum_disk_mb:
            yield (
                f"minimum_disk_mb: {name} has {machine.free_mb[mount]} MB free on {mount}, "
                f"and {settings.minimum_disk_mb} MB are needed for {', '.join(what)}; make room, "
                "mount a larger disk, or set minimum_disk_mb lower"
            )


def _ports(
    name: str, machine: Machine, workloads: Sequence[Workload], ports: Sequence[tuple[str, Port]]
) -> Iterator[str]:
    # At a port that no container publishes, the program may be the service itself: cephadm's
    # daemons, or a container on the host's network that runs.
    of_containers = {port for workload in workloads for port in workload.container.ports}
    new_on_network = {
        workload.service
        for workload in workloads
        if workload.container.host_network and workload.container.name not in machine.containers
    }
    taken = machine.listening - machine.published
    if container_name("balancer") in machine.own_containers:
        # A balancer of ours, removed if this host is no longer one. Its ports aren't known.
        taken = frozenset()
    first: dict[int, str] = {}
    for service, port in ports:
        number, setting = port.published.host, port.setting
        if number in taken and (port.published in of_containers or service in new_on_network):
            yield (
                f"{setting}: port {number} of {name} is taken by another program; stop "
                f"that, or set {setting} to a free port"
            )
        if first.setdefault(number, setting) != setting:
            yield (
                f"{first[number]}: port {number} of {name} is {setting}'s too; give each a port of "
                "its own"
            )


def _addresses(name: str, machine: Machine, ports: Sequence[tuple[str, Port]]) -> Iterator[str]:
    """Yield addresses that the host doesn't have: the old container would be removed, and the new
    one would not start."""
    known = {"127.0.0.1", "0.0.0.0", *machine.own_addresses}
    for service, port in ports:
        address, setting = port.published.address, port.address_setting
        # The engine checks names and IPv6 addresses, and any address if the host reports none.
        if not (machine.own_addresses and IPV4.match(address)) or address in known:
            continue
        yield (
            f"{setting}: {name} has no address {address} for {service} to listen on; it has "
            f"{', '.join(machine.addresses)}; set {setting} to one that it has"
        )
