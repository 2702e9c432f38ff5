"""PostgreSQL as Quay's database, with pg_trgm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from quaylab.services.database_engine import DatabaseEngine
from quaylab.settings.types import ImageName, PortNumber, Section, is_ip_address

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

# The roles that images/patroni/roles.sql makes.
REPLICATION = "quaylab_replication"
REWIND = "quaylab_rewind"


class PostgreSQLSettings(Section):
    """PostgreSQL."""

    postgresql_image: ImageName = Field(description="PostgreSQL's image")
    patroni_port: PortNumber = Field(
        description="With several database hosts: port of Patroni's API, which tells who leads"
    )


class PostgreSQL(DatabaseEngine):
    port = 5432
    uid = 26
    prefix = "POSTGRESQL"
    start = "run-postgresql"
    data = "/var/lib/pgsql/data"
    health = "bash -c 'pg_isready --quiet --host=127.0.0.1'"
    # By the container's own address: sclorg's images ask for no password on loopback.
    refuses_password = (
        "PGCONNECT_TIMEOUT=5 PGPASSWORD=$POSTGRESQL_PASSWORD psql --no-psqlrc --no-password "
        "--host=$HOSTNAME --username=$POSTGRESQL_USER --dbname=$POSTGRESQL_DATABASE "
        "--command=SELECT 2>&1 | grep -q 'password authentication failed'"
    )
    client = (
        "PGHOST=127.0.0.1 PGUSER=$POSTGRESQL_USER PGPASSWORD=$POSTGRESQL_PASSWORD "
        "psql --no-psqlrc --no-password --tuples-only --no-align"
    )
    scheme = "postgresql"
    packaged = ("postgresql", "17")
    # A minor release (15.4) reads its major's data.
    numbers_of_major = 1
    own_databases = ("postgres", "template0", "template1")
    # A single server may become the first member of several.
    own_users = ("postgres", REPLICATION, REWIND)

    def image(self, settings: Settings) -> str:
        return settings.postgresql_image

    def setting_problems(self, settings: Settings) -> Iterator[str]:
        host, user = settings.database_host, settings.database_user
        if user in ("public", "none") or user.startswith("pg_"):
            yield (
                f"database_user: {user} is a name that PostgreSQL keeps for itself; set another, "
                "such as quay"
            )
        if settings.database_ca and is_ip_address(host):
            yield (
                f"database_host: {host} is an address, and the libpq in Quay's image (13) finds "
                "none in a certificate; set the name that the certificate is for"
            )

    def tls(self, authority: str) -> dict[str, Any]:
        return {"sslmode": "verify-full", "sslrootcert": authority}

    def uri_options(self, authority: str) -> dict[str, Any]:
        # Quay's migration reads the TLS options only here, the running Quay only in
        # DB_CONNECTION_ARGS.
        return self.tls(authority)
