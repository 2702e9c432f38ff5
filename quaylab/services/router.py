"""The router on each of Quay's hosts: HAProxy, which leads Quay to the database's leader and to the
Redis that serves. Quay has the same address for both on every host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaylab.images import Image
from quaylab.model import LOOPBACK, ManagedFile, PublishedPort
from quaylab.services import balancer, member_certificate, router_config, tcp_proxy
from quaylab.services.base import (
    ROUTER,
    Audience,
    CompanionService,
    Context,
    Groups,
    Port,
    Workload,
    member_name,
)
from quaylab.services.patroni_config import Ports

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

INTERRUPTION = "Quay on this host can't reach database and Redis for a few seconds"


class Router(CompanionService):
    name = ROUTER
    title = "The router"
    where = "on the hosts of group `quay` if database or Redis has several hosts"

    def hosts(self, settings: Settings, groups: Groups) -> tuple[str, ...]:
        is_needed = any(len(groups[name]) > 1 for name in ("database", "redis"))
        return tuple(groups["quay"]) if is_needed else ()

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        return (balancer.image(context.settings),)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        """Return the ports at which the host itself reaches what Quay uses."""
        inside = {"database": router_config.DATABASE_PORT, "redis": router_config.REDIS_PORT}
        endpoints = context.topology.endpoints
        return tuple(
            Port(
                PublishedPort(within, endpoints[name].probe_port, LOOPBACK),
                f"{name}_port",
                Audience.NOBODY,
            )
            for name, within in inside.items()
            if len(endpoints[name].hosts) > 1
        )

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        files = [_configuration(context)]
        if context.topology.database_members:
            files.append(member_certificate.authority(context, self.name, tcp_proxy.UID))
        ports = self.ports(context, host)
        return (tcp_proxy.workload(context, self.name, files, ports, INTERRUPTION),)


def _configuration(context: Context) -> ManagedFile:
    settings, topology = context.settings, context.topology
    redis = topology.redis.hosts
    text = router_config.render(
        topology.member_addresses,
        {member_name(host): topology.addresses[host] for host in redis} if len(redis) > 1 else {},
        verified_name=member_certificate.NAME,
        ports=Ports(topology.database.probe_port, settings.patroni_port),
        redis_port=settings.redis_port,
    )
    return tcp_proxy.configuration(ROUTER, text)
