"""etcd beside several database hosts: there Patroni keeps which member leads."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pydantic import Field

from quaylab.images import Image, derived_image, packaged_image, with_bases
from quaylab.model import (
    LOOPBACK,
    Container,
    ManagedFile,
    Mount,
    PublishedPort,
    Volume,
    container_name,
    digests,
)
from quaylab.paths import ETC
from quaylab.services import database, etcd_config, member_certificate, patroni_config
from quaylab.services.base import (
    Audience,
    CompanionService,
    Context,
    Groups,
    Port,
    Workload,
    member_name,
    volume_labels,
)
from quaylab.services.environment import configuration_mount, environment_file
from quaylab.settings.types import ImageName, PortNumber, Section

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

NAME = "etcd"
CONTAINER = container_name(NAME)
# etcdctl in a member's container, with its certificate. It asks all members of the list.
ETCDCTL_OF_ALL = f"{etcd_config.VARIABLES}; etcdctl"
# The same for that member alone, inside the container as its health check does: the list's ports
# may be those that a run is about to publish.
ETCDCTL = (
    f"{etcd_config.VARIABLES}; "
    f"ETCDCTL_ENDPOINTS={etcd_config.url(LOOPBACK, etcd_config.CLIENT_PORT)} "
    "ETCDCTL_INSECURE_SKIP_TLS_VERIFY=true etcdctl"
)
# etcd_config.JOINS on the host.
JOINS = f"{ETC}/{NAME}/{etcd_config.JOINS}"
# The version that Debian 13 packages.
DEBIAN_VERSION = "3.5"


class EtcdSettings(Section):
    """etcd, which runs on several database hosts."""

    etcd_image: ImageName = Field(
        description="etcd's image, of which the binaries are taken; with several database hosts"
    )
    etcd_port: PortNumber = Field(description="Port of etcd for Patroni")
    etcd_peer_port: PortNumber = Field(description="Port of etcd for its other members")


class Etcd(CompanionService):
    name = NAME
    title = "etcd"
    where = "on the hosts of group `database` if there are several"

    def hosts(self, settings: Settings, groups: Groups) -> tuple[str, ...]:
        found = tuple(groups["database"])
        return found if len(found) > 1 else ()

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        settings, wanted = context.settings, image(context.settings)
        if settings.uses_packages:
            return (wanted,)
        binaries = Image(settings.etcd_image, settings.image_source)
        return with_bases(wanted, database.image(settings), binaries)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        settings, address = context.settings, context.topology.addresses[host]
        inside = {"etcd_port": etcd_config.CLIENT_PORT, "etcd_peer_port": etcd_config.PEER_PORT}
        return tuple(
            Port(
                PublishedPort(within, getattr(settings, setting), address),
                setting,
                Audience.DATABASE,
            )
            for setting, within in inside.items()
        )

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        settings = context.settings
        wanted, environment = image(settings), _environment(context, host)
        certificates = member_certificate.files(context, self.name, etcd_config.UID)
        container = Container(
            name=CONTAINER,
            image=wanted.reference,
            version=wanted.tag,
            owner=context.credentials.fingerprint,
            command=("run-etcd",),
            health=etcd_config.HEALTH,
            ports=tuple(port.published for port in self.ports(context, host)),
            mounts=(configuration_mount(self.name), Mount(CONTAINER, etcd_config.DATA)),
            # etcd reads its certificate at each connection, and the list of members only while it
            # has no data: a change of these needs no other container.
            files=digests(environment),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
        )
        volume = Volume(
            self.name,
            CONTAINER,
            None,
            etcd_config.UID,
            volume_labels(context, NAME, None),
            setting="database_data",
            purpose="which member of the database leads",
        )
        files = (environment, _members(context), *certificates)
        return (Workload(self.name, wanted, files, volume, container),)


def image(settings: Settings) -> Image:
    """Return etcd's image, with a shell for its start and its health check."""
    if settings.uses_packages:
        return packaged_image(NAME, DEBIAN_VERSION)
    return derived_image(NAME, database.image(settings), {"ETCD": settings.etcd_image})


def peer_url(context: Context, host: str) -> str:
    """Return the address at which other members reach a host's member."""
    return etcd_config.url(context.topology.addresses[host], context.settings.etcd_peer_port)


def client_url(context: Context, host: str) -> str:
    """Return the address at which Patroni and etcdctl reach a host's member."""
    return etcd_config.url(context.topology.addresses[host], context.settings.etcd_port)


def _environment(context: Context, host: str) -> ManagedFile:
    addresses, settings = context.topology.member_addresses, context.settings
    values = etcd_config.environment(
        member_name(host),
        addresses[member_name(host)],
        token=context.credentials.fingerprint,
        leader_key=patroni_config.LEADER_KEY,
        client_port=settings.etcd_port,
        peer_port=settings.etcd_peer_port,
    )
    return environment_file(NAME, etcd_config.UID, values)


def _members(context: Context) -> ManagedFile:
    settings = context.settings
    values = etcd_config.members(
        context.topology.member_addresses, settings.etcd_port, settings.etcd_peer_port
    )
    content = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return ManagedFile(f"{ETC}/{NAME}/{etcd_config.MEMBERS}", content, etcd_config.UID, 0, 0o400)
