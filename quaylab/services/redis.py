"""Redis, for Quay's build logs, user events and locks; its data may be lost.

On several hosts each one has its own data: the routers lead Quay to the first that answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, SecretStr

from quaylab.images import Image, packaged_image
from quaylab.model import Container, container_name, digests
from quaylab.secrets.passwords import CONTAINER
from quaylab.services.base import BackingService, Context, Groups, Maker, Need, Secret, Workload
from quaylab.services.environment import (
    configuration_mount,
    environment_file,
    exec_with_environment,
    run_with_environment,
)
from quaylab.services.tls_elsewhere import authority_problems
from quaylab.settings.types import Address, ImageName, LocalFile, PortNumber, Section

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

PORT = 6379
UID = 1001
# The most hosts.
MAX_HOSTS = 5
# The version that Debian 13 packages.
DEBIAN_VERSION = "8.0"
# Succeeds only if Redis refuses its own password. Without redis-cli: older ones accept a password
# as an argument only.
REFUSES_PASSWORD = (
    f"LC_ALL=C; exec 3<>/dev/tcp/127.0.0.1/{PORT} && "
    r"""printf '*2\r\n$4\r\nAUTH\r\n$%s\r\n%s\r\n' ${#REDIS_PASSWORD} "$REDIS_PASSWORD" >&3 && """
    "read -t 5 -r answer <&3 && [[ $answer == -*password* ]]"
)


class RedisSettings(Section):
    """Quay's Redis, run here or elsewhere."""

    redis_listen: Address | None = Field(
        description="Address Redis listens on; None: loopback, or the host's address when Quay "
        "runs on another host",
    )
    redis_host: Address | None = Field(
        description="Address of an external Redis, instead of group `redis`"
    )
    redis_port: PortNumber = Field(description="Port of Redis")
    redis_ca: LocalFile | None = Field(
        description="With redis_host: the CAs (PEM) on this machine that sign its certificate, for "
        "TLS with chain and name verified; None: without TLS",
    )
    redis_image: ImageName = Field(description="Redis' image")


class RedisSecrets(BaseModel):
    redis_password: SecretStr


class Redis(BackingService):
    name = "redis"
    title = "Redis"
    secrets = (Secret("redis_password", "password of Redis", CONTAINER),)

    def external_address(self, settings: Settings) -> str | None:
        return settings.redis_host

    def inside_port(self, settings: Settings) -> int:
        return PORT

    def outside_port(self, settings: Settings) -> int:
        return settings.redis_port

    def listen_address(self, settings: Settings) -> str | None:
        return settings.redis_listen

    def host_count_problems(self, settings: Settings, number: int) -> Iterator[str]:
        if number > MAX_HOSTS:
            yield (
                f"redis: {number} hosts in group `redis`, and more than {MAX_HOSTS} gain nothing; "
                "keep 3"
            )

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        yield from authority_problems(self, settings, settings.redis_ca)

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        yield Need("redis_password", Maker.OTHERS if settings.redis_host else Maker.QUAYLAB)

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        settings = context.settings
        password = context.credentials.redis_password.get_secret_value()
        environment = environment_file(self.name, UID, {"REDIS_PASSWORD": password})
        wanted = image(settings)
        container = Container(
            name=container_name(self.name),
            image=wanted.reference,
            version=wanted.tag,
            owner=context.credentials.fingerprint,
            command=run_with_environment("run-redis"),
            # Without a password Redis answers NOAUTH, which shows that it is up.
            health="redis-cli -h 127.0.0.1 ping | grep -qE 'PONG|NOAUTH'",
            ports=tuple(port.published for port in self.ports(context, host)),
            mounts=(configuration_mount(self.name),),
            files=digests(environment),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
        )
        return (
            Workload(
                self.name,
                wanted,
                (environment,),
                None,
                container,
                exec_with_environment(REFUSES_PASSWORD),
            ),
        )


def image(settings: Settings) -> Image:
    """Return Redis' image."""
    if settings.uses_packages:
        return packaged_image("redis", DEBIAN_VERSION)
    return Image(settings.redis_image, settings.image_source)
