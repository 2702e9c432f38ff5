"""A member of PostgreSQL on several hosts: Patroni keeps one of them the leader."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from quaylab.images import Image, derived_image
from quaylab.model import Container, ManagedFile, Mount, PublishedPort, container_name
from quaylab.paths import ETC
from quaylab.services import member_certificate, patroni_config
from quaylab.services.base import Audience, Context, Port, Workload, member_name
from quaylab.services.environment import configuration_mount, environment_file
from quaylab.services.patroni_config import Passwords, Ports
from quaylab.services.postgresql import PostgreSQL

if TYPE_CHECKING:
    from quaylab.model import Volume

DATABASE = "database"
CONTAINER = container_name(DATABASE)
COMMAND = ("run-patroni",)
# By the socket, where the superuser may log in: what is refused, PostgreSQL logs each time.
HEALTH = "bash -c 'pg_isready --quiet'"
INTERRUPTION = "another member leads the database instead; writes wait for 3 to 4 seconds"
ADOPTION = (
    "it becomes the first member of a cluster, and Quay's writes wait until a second one has its "
    "data"
)


def image(base: Image) -> Image:
    """Return PostgreSQL's image with Patroni in it: the same server and the same libraries, so that
    a single database's volume can become the first member."""
    return derived_image("patroni", base)


def ports(context: Context, host: str) -> tuple[Port, ...]:
    """Return the port of Patroni's API, which tells the routers who leads."""
    number, address = context.settings.patroni_port, context.topology.addresses[host]
    published = PublishedPort(patroni_config.API_PORT, number, address)
    return (Port(published, "patroni_port", Audience.DATABASE_AND_QUAY),)


def workload(
    context: Context, host: str, base: Image, volume: Volume, published: tuple[PublishedPort, ...]
) -> Workload:
    """Return a member's container.

    Args:
        base: PostgreSQL's image.
        volume: the volume of its data.
        published: all of its ports.
    """
    settings, wanted = context.settings, image(base)
    found = context.machines[host].state.containers.get(CONTAINER)
    is_adopted = found is not None and found.command != COMMAND
    container = Container(
        name=CONTAINER,
        image=wanted.reference,
        version=wanted.tag,
        owner=context.credentials.fingerprint,
        command=COMMAND,
        health=HEALTH,
        ports=published,
        mounts=(configuration_mount(DATABASE), Mount(volume.name, PostgreSQL.data)),
        # Patroni and PostgreSQL load changed files when they are told to.
        files=(),
        log_size=settings.container_log_size,
        log_files=settings.container_log_files,
        stop_timeout=60,
    )
    return Workload(
        DATABASE,
        wanted,
        files(context, host),
        volume,
        container,
        interruption=ADOPTION if is_adopted else INTERRUPTION,
    )


def files(context: Context, host: str) -> tuple[ManagedFile, ...]:
    """Return a member's files, which Patroni loads without a restart."""
    settings, credentials = context.settings, context.credentials
    assert (
        credentials.replication_password
        and credentials.rewind_password
        and credentials.patroni_password
    )
    environment = environment_file(
        DATABASE,
        PostgreSQL.uid,
        {
            "POSTGRESQL_USER": settings.database_user,
            "POSTGRESQL_PASSWORD": credentials.database_password.get_secret_value(),
            "POSTGRESQL_DATABASE": settings.database_name,
            "REPLICATION_PASSWORD": credentials.replication_password.get_secret_value(),
            "REWIND_PASSWORD": credentials.rewind_password.get_secret_value(),
        },
    )
    certificates = member_certificate.files(context, DATABASE, PostgreSQL.uid)
    configuration = patroni_config.configuration(
        member_name(host),
        context.topology.member_addresses,
        Passwords(
            credentials.replication_password,
            credentials.rewind_password,
            credentials.patroni_password,
        ),
        database=settings.database_name,
        user=settings.database_user,
        is_founder=host == context.topology.database_members[0],
        ports=Ports(
            context.topology.database.probe_port, settings.patroni_port, settings.etcd_port
        ),
    )
    contents = [patroni_config.render(configuration), environment.content]
    contents += [file.content for file in certificates]
    # Keyed, because everybody may ask Patroni for it.
    key = credentials.database_secret_key.get_secret_value().encode()
    digest = hmac.digest(key, "\0".join(contents).encode(), "sha256").hex()[:16]
    configuration["tags"] = {patroni_config.TAG: digest}
    text = patroni_config.render(configuration)
    path = f"{ETC}/{DATABASE}/{patroni_config.FILE}"
    return (
        environment,
        *certificates,
        ManagedFile(path, text, uid=PostgreSQL.uid, mode=0o400),
    )


def wanted_digest(context: Context, host: str) -> str:
    """Return what a member's Patroni tells of its files once it has loaded them."""
    text = next(
        file.content for file in files(context, host) if file.path.endswith(patroni_config.FILE)
    )
    return patroni_config.loaded_digest(text)
