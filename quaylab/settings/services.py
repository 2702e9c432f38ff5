"""What Quay uses: its database and its Redis."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quaylab.settings.types import (
    Address,
    Administrator,
    HostPath,
    Identifier,
    LocalFile,
    Port,
    Section,
    Version,
)


class Database(Section):
    """Quay's database, run here or elsewhere."""

    database_engine: Literal["postgresql", "mysql"] = Field(
        description="postgresql or mysql: Quay speaks no other",
    )
    database_name: Identifier = Field(description="Name of Quay's database")
    database_user: Identifier = Field(description="Quay's role in it, no superuser")
    database_data: HostPath | None = Field(
        description="Directory on the database host for its data; None: a named volume",
    )
    database_listen: Address | None = Field(
        description="Address the database listens on; None: loopback, or the host's address when "
        "Quay runs elsewhere",
    )
    database_host: Address | None = Field(
        description="A database that runs elsewhere; needs no group `database`",
    )
    database_port: Port | None = Field(description="Its port; None: 5432, with MySQL 3306")
    database_ca: LocalFile | None = Field(
        description="With database_host: the CAs (PEM) on this machine that sign its certificate, "
        "for TLS with chain and name verified; None: nothing is verified",
    )
    database_admin: Administrator | None = Field(
        description="With database_host: the server's administrator, who makes Quay's role, "
        "database and pg_trgm where they are missing",
    )
    database_backup: Version | None = Field(
        description="With database_host: Quay's version that your own backup is of, which an "
        "upgrade from that version asks for",
    )


class Redis(Section):
    """Quay's Redis, run here or elsewhere."""

    redis_listen: Address | None = Field(
        description="Address Redis listens on; None: loopback, or the host's address when Quay "
        "runs elsewhere",
    )
    redis_host: Address | None = Field(
        description="A Redis that runs elsewhere; needs no group `redis`"
    )
    redis_port: Port = Field(description="Port of Redis")
    redis_ca: LocalFile | None = Field(
        description="With redis_host: the CAs (PEM) on this machine that sign its certificate, for "
        "TLS with chain and name verified; None: without TLS",
    )
