"""The load balancer in front of Quay: HAProxy, and keepalived for its address; or one elsewhere."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from quaylab.images import Image, packaged_image
from quaylab.model import (
    EVERYWHERE,
    LOOPBACK,
    Container,
    ManagedFile,
    Mount,
    PublishedPort,
    container_name,
    digests,
)
from quaylab.paths import ETC, SCRIPTS
from quaylab.services import haproxy_config, keepalived
from quaylab.services.base import Audience, Context, Groups, Port, Service, Workload
from quaylab.services.quay_nodes import nodes
from quaylab.settings.types import Address, ImageName, PortNumber, Section, is_ip_address

if TYPE_CHECKING:
    from quaylab.hosts.machine import Machine
    from quaylab.settings.loading import Settings

NAME = "balancer"
DIRECTORY = f"{ETC}/{NAME}"
# The version that Debian 13 packages.
DEBIAN_VERSION = "3.0"
# Sends a command to the admin socket.
ASK = "ask-haproxy"
INTERRUPTION = (
    "open connections through this balancer are cut; with another balancer clients go on there"
)


class BalancerSettings(Section):
    """The load balancer in front of several Quay containers."""

    balancer_host: Address | None = Field(
        description="Name or address of a load balancer that runs elsewhere, instead of group "
        "`balancer`; it must ask /health/instance, and set X-Forwarded-For",
    )
    balancer_image: ImageName = Field(description="HAProxy's image, based on Debian, 2.6 or newer")
    balancer_status_port: PortNumber = Field(
        description="Port of HAProxy's health and metrics, on the balancer's loopback",
    )
    virtual_address: Address | None = Field(
        description="The address that clients use, which one of two or more balancers holds, by "
        "keepalived; None: they use the balancers' own addresses",
    )
    virtual_router_id: int = Field(
        ge=1,
        le=255,
        description="VRRP's number of the virtual address; each one in a network has its own",
    )


class Balancer(Service):
    name = NAME
    title = "Balancer"

    def external_address(self, settings: Settings) -> str | None:
        return settings.balancer_host

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        address, balancers = settings.virtual_address, groups[self.name]
        if settings.balancer_host and balancers:
            yield (
                f"balancer_host: {settings.balancer_host} runs elsewhere, but group `balancer` has "
                f"{balancers[0]}: drop one of the two"
            )
        if address is None:
            return
        if not _is_ipv4(address):
            yield f"virtual_address: {address} is not an IPv4 address; give one that no host has"
        if len(balancers) < 2:
            yield (
                "virtual_address: an address moves only between two or more balancers, and group "
                f"`balancer` has {len(balancers) or 'none'}; add one, or leave virtual_address out"
            )

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        settings = context.settings
        public = ("quay_https_port", "quay_http_port")
        return (
            *(
                _port(getattr(settings, name), EVERYWHERE, name, Audience.EVERYBODY)
                for name in public
            ),
            _port(settings.balancer_status_port, LOOPBACK, "balancer_status_port", Audience.NOBODY),
        )

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        settings, wanted = context.settings, image(context.settings)
        script = ManagedFile(f"{DIRECTORY}/{ASK}", (SCRIPTS / ASK).read_text(), mode=0o500)
        status = f"/dev/tcp/{LOOPBACK}/{settings.balancer_status_port}"
        container = Container(
            name=container_name(self.name),
            image=wanted.reference,
            version=wanted.tag,
            owner=context.credentials.fingerprint,
            # -W: a master process, which reloads without closing a connection.
            command=("haproxy", "-W", "-db", "-f", f"{DIRECTORY}/{haproxy_config.CONFIGURATION}"),
            health=(
                f"bash -c 'exec 3<>{status} && "
                f'printf "GET {haproxy_config.HEALTH} HTTP/1.0\\r\\n\\r\\n" >&3 && '
                "read -t 5 -r _ code _ <&3 && test $code = 200'"
            ),
            ports=(),
            mounts=(Mount(DIRECTORY, DIRECTORY, read_only=True),),
            # Configuration and certificates are no part of this: their change is a reload.
            files=digests(script),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            # HAProxy waits for its open connections before it stops.
            stop_timeout=60,
            host_network=True,
            # It takes the ports below 1024, and then becomes the user haproxy.
            user="root",
        )
        files = (script, *reloadable_files(context, host))
        return (Workload(self.name, wanted, files, None, container, interruption=INTERRUPTION),)

    def problems(self, context: Context) -> Iterator[str]:
        topology, address = context.topology, context.settings.virtual_address
        for host in dict.fromkeys((*topology.balancers, *topology.quay)):
            if topology.balancers and not _is_ipv4(topology.addresses[host]):
                yield (
                    f"address: {host} is behind a balancer or is one, and these know each other by "
                    f"IPv4 addresses; set `address` to one instead of {topology.addresses[host]}"
                )
        for host in topology.balancers:
            machine, own = context.machines.get(host), topology.addresses[host]
            reported = machine.own_addresses if machine and _is_ipv4(own) else ()
            if machine and reported and own not in reported:
                yield (
                    f"address: {host} has no address {own}, from which HAProxy would connect to "
                    f"nodes; it has {', '.join(machine.addresses)}; set `address` to one of these"
                )
        if address is None:
            return
        owners = [host for host, own in topology.addresses.items() if own == address]
        for host in owners:
            yield f"virtual_address: {address} is the address of {host}; choose a free one"
        for host in topology.balancers:
            machine = context.machines.get(host)
            if machine and not owners:
                yield from _virtual_address_problems(host, machine, address)


def _virtual_address_problems(host: str, machine: Machine, address: str) -> Iterator[str]:
    if not machine.systemd:
        yield f"virtual_address: {host} has no systemd, which runs keepalived; leave it out"
    interface = keepalived.interface_of(machine, address)
    if interface is None:
        networks = ", ".join(f"{network} on {name}" for name, network in machine.networks)
        yield (
            f"virtual_address: {address} is in no network of {host}, which has {networks}; "
            "choose a free address in a network that all balancers share"
        )
        return
    for name, text in machine.networks:
        found, network = ipaddress.ip_interface(text), ipaddress.ip_interface(text).network
        if name != interface or network.prefixlen > 30:  # keepalived's own has /32
            continue
        if str(found.ip) == address:
            yield f"virtual_address: {address} is an address of {host}; choose a free one"
        elif address in (str(network.network_address), str(network.broadcast_address)):
            yield (
                f"virtual_address: {address} stands for the whole network {network}; choose a free "
                "address in it"
            )


def _is_ipv4(address: str) -> bool:
    return is_ip_address(address) and ":" not in address


def ask(command: str) -> str:
    """Return a shell command that, in HAProxy's container, prints its answer to a command."""
    return f"{DIRECTORY}/{ASK} {haproxy_config.SOCKET} {shlex.quote(command)}"


def _port(number: int, address: str, setting: str, audience: Audience) -> Port:
    return Port(PublishedPort(number, number, address), setting, audience)


def image(settings: Settings) -> Image:
    """Return HAProxy's image."""
    if settings.uses_packages:
        return packaged_image("haproxy", DEBIAN_VERSION)
    return Image(settings.balancer_image, settings.image_source)


def reloadable_files(context: Context, host: str) -> tuple[ManagedFile, ...]:
    """Return the files that a running HAProxy loads anew by a reload."""
    settings, topology, certificate = context.settings, context.topology, context.certificate
    trusted = context.node_certificate.trusted
    registry = f"{certificate.certificate}\n{certificate.key.get_secret_value()}"
    configuration = haproxy_config.render(
        nodes(settings, topology),
        topology.hostname,
        topology.addresses[host],
        (settings.quay_https_port, settings.quay_http_port, settings.balancer_status_port),
        DIRECTORY,
        (registry, trusted),
    )
    contents = {
        haproxy_config.CERTIFICATE: registry,
        haproxy_config.AUTHORITY: trusted,
        haproxy_config.HELD: "",
        haproxy_config.CONFIGURATION: configuration,
    }
    return tuple(
        ManagedFile(f"{DIRECTORY}/{name}", content, mode=0o400)
        for name, content in contents.items()
    )
