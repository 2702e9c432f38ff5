"""Quay's database: PostgreSQL or MySQL, in images of sclorg or in ours, which work alike.

On several hosts Patroni keeps one PostgreSQL of them the leader: see patroni.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field, SecretStr

from quaylab.endpoints import netloc
from quaylab.images import Image, packaged_image, with_bases
from quaylab.model import Container, Mount, Volume, container_name, digests
from quaylab.paths import SCHEMA_NOTE
from quaylab.secrets import certificates
from quaylab.secrets.passwords import CONTAINER
from quaylab.services import member_certificate, patroni
from quaylab.services.base import (
    Audience,
    BackingService,
    Context,
    Groups,
    Maker,
    Need,
    Port,
    Secret,
    Workload,
    volume_labels,
)
from quaylab.services.database_engine import MAX_CONNECTIONS, DatabaseEngine
from quaylab.services.environment import (
    configuration_mount,
    environment_file,
    exec_with_environment,
    run_with_environment,
)
from quaylab.services.mysql import MySQL
from quaylab.services.postgresql import PostgreSQL
from quaylab.services.tls_elsewhere import authority_problems
from quaylab.settings.types import (
    Address,
    Administrator,
    HostPath,
    Identifier,
    LocalFile,
    PortNumber,
    Section,
    Version,
)

if TYPE_CHECKING:
    from quaylab.hosts.machine import Machine
    from quaylab.secrets.credentials import Credentials
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology


class DatabaseSettings(Section):
    """Quay's database, run here or elsewhere."""

    database_engine: Literal["postgresql", "mysql"] = Field(
        description="postgresql or mysql; Quay supports no others",
    )
    database_name: Identifier = Field(description="Name of Quay's database")
    database_user: Identifier = Field(description="Quay's role in the database, no superuser")
    database_data: HostPath | None = Field(
        description="Directory on the database host for its data; None: a named volume",
    )
    database_listen: Address | None = Field(
        description="Address the database listens on; None: loopback, or the host's address when "
        "Quay runs on another host",
    )
    database_host: Address | None = Field(
        description="Address of an external database server, instead of group `database`",
    )
    database_port: PortNumber | None = Field(
        description="Port of the database; None: 5432, with MySQL 3306"
    )
    database_ca: LocalFile | None = Field(
        description="With database_host: the CAs (PEM) on this machine that sign its certificate, "
        "for TLS with chain and name verified; None: nothing is verified",
    )
    database_admin: Administrator | None = Field(
        description="With database_host: the server's administrator, who creates Quay's role, "
        "database and pg_trgm where they are missing",
    )
    database_backup: Version | None = Field(
        description="With database_host: the Quay version of your own backup, without which no "
        "upgrade from that version begins",
    )


ENGINES: Mapping[str, DatabaseEngine] = {"postgresql": PostgreSQL(), "mysql": MySQL()}


class DatabaseSecrets(BaseModel):
    database_password: SecretStr
    # Those of a cluster: for copying the leader's data, for pg_rewind, and for Patroni's API.
    replication_password: SecretStr | None = None
    rewind_password: SecretStr | None = None
    patroni_password: SecretStr | None = None
    # The members' certificate, signed by the lab's CA.
    database_certificate: str | None = None
    database_certificate_key: SecretStr | None = None


MEMBERS_PASSWORDS = ("replication_password", "rewind_password", "patroni_password")
# A majority of the members has to agree on who leads.
NUMBERS_OF_MEMBERS = (3, 5)


class Database(BackingService):
    name = "database"
    title = "Database"
    secrets = (
        Secret("database_password", "password of Quay's role in the database", CONTAINER),
        Secret("database_admin_password", is_stored=False),
        *(Secret(key, has_variable=False) for key in MEMBERS_PASSWORDS),
    )
    directories = ("database_data",)
    audience_of_several = Audience.DATABASE_AND_QUAY

    def external_address(self, settings: Settings) -> str | None:
        return settings.database_host

    def inside_port(self, settings: Settings) -> int:
        return engine(settings).port

    def outside_port(self, settings: Settings) -> int:
        return settings.database_port or engine(settings).port

    def listen_address(self, settings: Settings) -> str | None:
        return settings.database_listen

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        yield from authority_problems(self, settings, settings.database_ca)
        kind = engine(settings)
        yield from kind.setting_problems(settings)
        if settings.database_host is None:
            taken = {"database_name": kind.own_databases, "database_user": kind.own_users}
            for key, names in taken.items():
                name = getattr(settings, key)
                if name in names:
                    yield f"{key}: {name} is the server's own; set another, such as quay"
        if settings.database_admin and settings.database_host is None:
            yield (
                "database_admin: is for a database that runs elsewhere, and database_host isn't "
                "set; Quaylab's own needs none: leave it out"
            )
        if settings.database_admin == settings.database_user:
            yield (
                f"database_admin: {settings.database_admin} is database_user, who creates nothing; "
                "set the server's administrator"
            )

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        maker = Maker.QUAYLAB
        if settings.database_host:
            maker = Maker.ADMINISTRATOR if settings.database_admin else Maker.OTHERS
        yield Need("database_password", maker)
        if len(groups[self.name]) > 1:
            for key in MEMBERS_PASSWORDS:
                yield Need(key, Maker.QUAYLAB)

    def with_keys(
        self, credentials: Credentials, settings: Settings, topology: Topology
    ) -> Credentials:
        if not topology.database_members:
            return credentials
        return certificates.with_database_certificate(
            credentials, topology.hostname, member_certificate.names(topology)
        )

    def host_count_problems(self, settings: Settings, number: int) -> Iterator[str]:
        if settings.database_engine != "postgresql":
            yield (
                f"database: {number} hosts in group `database`, but {settings.database_engine} "
                "runs on one; keep one, or set database_engine to postgresql"
            )
        elif number not in NUMBERS_OF_MEMBERS:
            yield (
                f"database: {number} hosts in group `database`, but a majority has to agree on who "
                "leads; take 1, 3 or 5"
            )

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        base = image(context.settings)
        if not context.topology.database_members:
            return (base,)
        return with_bases(patroni.image(base), base)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        found = super().ports(context, host)
        return (
            (*found, *patroni.ports(context, host)) if context.topology.database_members else found
        )

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        settings, credentials = context.settings, context.credentials
        wanted, kind, name = image(settings), engine(settings), container_name(self.name)
        # One node gets on with the image's own limit, and its database is not replaced for this.
        has_nodes = len(context.topology.quay) * settings.quay_instances > 1
        limit = {f"{kind.prefix}_MAX_CONNECTIONS": str(MAX_CONNECTIONS)} if has_nodes else {}
        environment = environment_file(
            self.name,
            kind.uid,
            {
                f"{kind.prefix}_USER": settings.database_user,
                f"{kind.prefix}_PASSWORD": credentials.database_password.get_secret_value(),
                f"{kind.prefix}_DATABASE": settings.database_name,
                **limit,
            },
        )
        volume = Volume(
            self.name,
            name,
            settings.database_data,
            kind.uid,
            volume_labels(context, data_kind(settings), settings.database_data),
            setting="database_data",
            purpose="the database",
            is_replicated=bool(context.topology.database_members),
            restore="restore a dump: tasks/restore_database.py",
        )
        published = tuple(port.published for port in self.ports(context, host))
        if context.topology.database_members:
            return (patroni.workload(context, host, wanted, volume, published),)
        container = Container(
            name=name,
            image=wanted.reference,
            version=wanted.tag,
            owner=credentials.fingerprint,
            command=run_with_environment(kind.start),
            health=kind.health,
            ports=published,
            mounts=(configuration_mount(self.name), Mount(name, kind.data)),
            files=digests(environment),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            # PostgreSQL waits for Quay's connection pool before it stops.
            stop_timeout=60,
        )
        password_refused = exec_with_environment(kind.refuses_password)
        return (Workload(self.name, wanted, (environment,), volume, container, password_refused),)

    def problems(self, context: Context) -> Iterator[str]:
        members = context.topology.database_members
        yield from (
            f"database: {host} has the data of a cluster's member, which a single database can't "
            "use; keep the other hosts in group `database`, or go back by a dump: "
            "docs/high-availability.md#growing-from-one-host-to-three"
            for host in context.topology.hosts[self.name]
            if not members and _was_member(context, host)
        )
        if not members:
            return
        with_data = [host for host in members if _has(context, host, container_name(self.name))]
        has_etcd = any(_has(context, host, container_name("etcd")) for host in members)
        first, only = members[0], with_data[0] if len(with_data) == 1 else None
        # Data of etcd's alone is no cluster: a growth that failed leaves it, and a single database.
        is_member = has_etcd and only is not None and _command(context, only) == patroni.COMMAND
        if only not in (None, first) and first in context.machines and not is_member:
            # The first host founds the cluster, of its data or of none.
            yield (
                f"database: {only} has the data, and the first host founds the cluster; put {only} "
                "first in group `database`"
            )
        if has_etcd and (_was_member(context, only) if only else with_data):
            return
        if len(with_data) > 1:
            yield (
                f"database: {', '.join(with_data)} have data, but etcd's volume is gone on every "
                "database host, so nobody knows whose data is the newest; see "
                "docs/high-availability.md"
            )
        for host in members:
            if host not in context.machines:
                yield (
                    f"database: {host} takes no part in this run, and a new cluster needs all of "
                    "its members; leave out --limit and --exclude"
                )

    def data_note(self, quay: Machine) -> str | None:
        return SCHEMA_NOTE if quay.schema else None


def _was_member(context: Context, host: str) -> bool:
    """Whether a host's database is a cluster's member. A killed run may have made etcd's volume
    beside a single database that was no member yet."""
    command = _command(context, host)
    if command is not None:
        return command == patroni.COMMAND
    return _has(context, host, container_name("etcd"))


def _command(context: Context, host: str) -> tuple[str, ...] | None:
    """Return the command of a host's database container; None if none is known."""
    machine = context.machines.get(host)
    found = machine and machine.state.containers.get(patroni.CONTAINER)
    return found.command if found else None


def _has(context: Context, host: str, volume: str) -> bool:
    """Whether a host is known to have data in a volume: a killed run leaves empty ones."""
    machine = context.machines.get(host)
    return machine is not None and any(
        each.name == volume and not each.empty for each in machine.volumes
    )


def engine(settings: Settings) -> DatabaseEngine:
    """Return the kind of database that the settings ask for."""
    return ENGINES[settings.database_engine]


def image(settings: Settings) -> Image:
    """Return the database's image."""
    kind = engine(settings)
    if settings.uses_packages:
        return packaged_image(*kind.packaged)
    return Image(kind.image(settings), settings.image_source)


def data_kind(settings: Settings) -> str:
    """Return engine and version of a database volume's data, such as ``postgresql-15-c9s``."""
    name = image(settings).reference.rpartition("/")[2]
    repository, _, tag = name.partition(":")
    # sclorg's repositories name the version (postgresql-15-c9s), others' tags do (postgres:15.4).
    if any(character.isdigit() for character in repository):
        return repository
    numbers = tag.partition("-")[0].split(".")[: engine(settings).numbers_of_major]
    return f"{repository}-{'.'.join(numbers)}"


def authority(settings: Settings, topology: Topology, credentials: Credentials) -> str | None:
    """Return the CAs (PEM) for which Quay verifies the database; None: it verifies nothing."""
    if settings.database_ca:
        # What is no text is refused, together with what a plan finds out from this.
        return settings.database_ca.read_text(errors="replace")
    return credentials.ca_certificate if topology.database_members else None


def uri(settings: Settings, topology: Topology, credentials: Credentials, file: str) -> str:
    """Return Quay's DB_URI, with the password quoted for a URI.

    Args:
        file: the path of the CAs' file in Quay's container.
    """
    kind, endpoint = engine(settings), topology.database
    password = quote(credentials.database_password.get_secret_value(), safe="")
    target = f"{netloc(endpoint.address, endpoint.port)}/{settings.database_name}"
    text = f"{kind.scheme}://{settings.database_user}:{password}@{target}"
    is_verified = authority(settings, topology, credentials)
    options: Mapping[str, Any] = kind.uri_options(file) if is_verified else {}
    return text + (f"?{urlencode(options, safe='/')}" if options else "")
