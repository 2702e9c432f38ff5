"""What a host needs for its part, each told as found and needed, before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from quaylab.hosts.disks import ENGINE_ROOT
from quaylab.hosts.machine import Machine
from quaylab.parts import STORAGE_VOLUME, Part
from quaylab.settings import Settings
from quaylab.topology import Topology, container_name

# What both Quay's and sclorg's images are built for.
ARCHITECTURES = ("x86_64", "aarch64", "ppc64le", "s390x")
# The first with `docker volume`, `--stop-timeout` and health checks; RHEL 7's own.
OLDEST_ENGINE = (1, 13)
# Tokens and certificates carry times; Quay's own tolerance for a token is 30 s.
CLOCK_TOLERANCE = 30
IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}$")
PURPOSES = {STORAGE_VOLUME: "Quay's blobs", container_name("ceph"): "Ceph's objects"}


def problems(
    name: str, machine: Machine, settings: Settings, topology: Topology, parts: tuple[Part, ...]
) -> Iterator[str]:
    """Why a host can't play its parts; a host without one needs nothing."""
    if not parts:
        return
    if machine.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        yield f"{name}: found architecture {machine.architecture}, needed one of {known}"
    if abs(machine.clock_ahead) > CLOCK_TOLERANCE:
        yield (
            f"{name}: its clock is {machine.clock_ahead:+.0f} s off this machine's, at most "
            f"{CLOCK_TOLERANCE} s is allowed; start chrony or another NTP client on both"
        )
    yield from _size(name, machine, settings, topology)
    yield from _engine(name, machine)
    yield from _disks(name, machine, settings, parts)
    yield from _ports(name, machine, settings, topology, parts)
    yield from _addresses(name, machine, settings, parts)


def _size(name: str, machine: Machine, settings: Settings, topology: Topology) -> Iterator[str]:
    if name not in topology.quay:
        return
    if machine.cpus < settings.minimum_cpus:
        yield (
            f"minimum_cpus: {name} has {machine.cpus}, needed are {settings.minimum_cpus}; "
            "give it more, or set minimum_cpus lower"
        )
    usual = 8192 if topology.database.host == name else 4096
    needed = settings.minimum_memory_mb or usual
    # A machine of 8 GB reports up to half a gigabyte less: the kernel's own is not in it.
    if machine.memory_mb < needed - needed // 16:
        yield (
            f"minimum_memory_mb: {name} has {machine.memory_mb} MB, needed are {needed} MB; give "
            "it more, or set minimum_memory_mb lower"
        )


def _engine(name: str, machine: Machine) -> Iterator[str]:
    if machine.engine and machine.engine.version:
        major, minor = machine.engine.version.split(".")[:2]
        if (int(major), int(minor)) < OLDEST_ENGINE:
            oldest = ".".join(map(str, OLDEST_ENGINE))
            yield f"{name}: found Docker {machine.engine.version}, needed {oldest} or newer"


def _disks(
    name: str, machine: Machine, settings: Settings, parts: tuple[Part, ...]
) -> Iterator[str]:
    """Space for what isn't there yet: data that is has taken its space already."""
    there = {volume.name for volume in machine.volumes}
    root = (machine.engine.root_directory if machine.engine else None) or ENGINE_ROOT
    wanted = [part.volume for part in parts if part.volume and part.volume.name not in there]
    purposes: dict[str, list[str]] = {}
    for volume in wanted:
        purpose = PURPOSES.get(volume.name, "the database")
        if mount := machine.mount_of(volume.path or root):
            purposes.setdefault(mount, []).append(purpose)
    # With all data elsewhere, a leader's note tells that images are there.
    if not (there or machine.storage) and (mount := machine.mount_of(root)):
        purposes.setdefault(mount, []).insert(0, "images")
    for mount, what in purposes.items():
        if machine.free_mb[mount] < settings.minimum_disk_mb:
            yield (
                f"minimum_disk_mb: {name} has {machine.free_mb[mount]} MB free on {mount}, needed "
                f"are {settings.minimum_disk_mb} MB for {', '.join(what)}; make room, mount a "
                "larger disk, or set minimum_disk_mb lower"
            )


def _ports(
    name: str, machine: Machine, settings: Settings, topology: Topology, parts: tuple[Part, ...]
) -> Iterator[str]:
    wanted = [
        (port.host, _port_setting(part, port.host, settings))
        for part in parts
        for port in part.container.ports
    ]
    for port, setting in wanted:
        if port in machine.listening - machine.published:
            yield (
                f"{setting}: port {port} of {name} is taken by another program; stop "
                f"that, or set {setting} to a free port"
            )
    if topology.store and len(topology.ceph) > 1 and name in topology.ceph:
        # By cephadm, so it is no part with a container of ours.
        wanted.insert(0, (topology.store.port, "storage_port"))
    first: dict[int, str] = {}
    for port, setting in wanted:
        if first.setdefault(port, setting) != setting:
            yield (
                f"{first[port]}: port {port} of {name} is {setting}'s too; give each a port of "
                "its own"
            )


def _addresses(
    name: str, machine: Machine, settings: Settings, parts: tuple[Part, ...]
) -> Iterator[str]:
    """Addresses at which nothing can listen: a container would be removed, and the new one not
    start."""
    here = {"127.0.0.1", "0.0.0.0", *machine.own_addresses}
    for part in parts:
        service = part.container.name.removeprefix("quaylab-")
        for port in part.container.ports:
            # A name or IPv6 is left to the engine, and so is a host that tells no address.
            if not (machine.own_addresses and IPV4.match(port.address)) or port.address in here:
                continue
            setting = f"{service}_listen"
            told = setting if getattr(settings, setting, None) else "address"
            yield (
                f"{told}: {name} has no address {port.address} for {service} to listen on; it has "
                f"{', '.join(machine.addresses)}; set {told} to one that it has"
            )


def _port_setting(part: Part, port: int, settings: Settings) -> str:
    if part.container.name == container_name("database"):
        return "database_port"
    if part.container.name == container_name("redis"):
        return "redis_port"
    if part.container.name == container_name("ceph"):
        return "storage_port"
    return "quay_https_port" if port == settings.quay_https_port else "quay_http_port"
