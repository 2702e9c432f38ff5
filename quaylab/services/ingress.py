"""The ingress on each balancer: HAProxy, which leads Quay and clients to one of Ceph's gateways.

It isn't the balancers' own HAProxy, because Quay looks for its object store as it starts, and that
one starts after Quay, whose ports it may take over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaylab.images import Image
from quaylab.model import EVERYWHERE, PublishedPort
from quaylab.services import balancer, ingress_config, member_certificate, object_store, tcp_proxy
from quaylab.services.base import (
    Audience,
    CompanionService,
    Context,
    Groups,
    Port,
    Workload,
    member_name,
)
from quaylab.services.ceph import CONTAINER as CEPH

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

NAME = "ingress"
INTERRUPTION = "transfers of blobs through this balancer are cut"


class Ingress(CompanionService):
    name = NAME
    title = "The ingress"
    where = "on the balancers if group `ceph` has several hosts"

    def hosts(self, settings: Settings, groups: Groups) -> tuple[str, ...]:
        return object_store.ingress_hosts(groups)

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        return (balancer.image(context.settings),)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        settings = context.settings
        published = PublishedPort(ingress_config.PORT, settings.ingress_port, EVERYWHERE)
        # Quay sends clients there for blobs, unless it transfers these itself.
        audience = Audience.QUAY if settings.storage_proxy else Audience.EVERYBODY
        return (Port(published, "ingress_port", audience),)

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        settings, topology = context.settings, context.topology
        text = ingress_config.render(
            {member_name(each): topology.addresses[each] for each in topology.hosts["ceph"]},
            object_store.gateway_port(settings),
            CEPH if settings.storage_tls else None,
        )
        files = [tcp_proxy.configuration(NAME, text)]
        if settings.storage_tls:
            files.append(member_certificate.authority(context, NAME, tcp_proxy.UID))
        ports = self.ports(context, host)
        return (tcp_proxy.workload(context, NAME, files, ports, INTERRUPTION),)
