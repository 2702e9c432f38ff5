"""The statements that prepare an external PostgreSQL server for Quay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
from psycopg2.extensions import encrypt_password

from quaylab.clients import probes, sql
from quaylab.clients.probes import Unreachable
from quaylab.clients.sql import first
from quaylab.database_login import Login, Step
from quaylab.secrets.credentials import Credentials
from quaylab.settings.loading import Settings

# The database that every PostgreSQL has.
MAINTENANCE = "postgres"


@dataclass(frozen=True)
class ServerState:
    """The state that an administrator finds.

    Attributes:
        makes_roles, makes_databases, superuser: the administrator's rights.
        role: whether Quay's role exists; it ``logs_in`` if its password is right.
        member: whether the administrator may act as Quay's role.
        owner: the owner of Quay's database; None without the database.
        others: the number of tables in it that don't belong to Quay's role.
        trigram_available, trigram: whether the server has pg_trgm, and the database.
    """

    makes_roles: bool
    makes_databases: bool
    superuser: bool
    role: bool
    logs_in: bool
    member: bool
    owner: str | None
    others: int
    trigram_available: bool
    trigram: bool


def missing_steps(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    """Ask the server what it has, and return the steps that it still needs for Quay.

    Raises:
        Unreachable: the server is too old, or the administrator lacks a right.
        psycopg2.Error, OSError: the administrator can't log in.
    """
    found, verifier = _inspect(settings, credentials, admin, address, port)
    return tuple(steps(found, settings, admin.user, verifier))


def _inspect(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[ServerState, str]:
    """Return the server's state, and the hash of Quay's password that it is to store.

    Raises:
        Unreachable: the server is too old.
        psycopg2.Error, OSError: the administrator can't log in.
    """
    user, database = settings.database_user, settings.database_name
    secret = credentials.database_password
    connection = settings, Login(admin.user, admin.password, MAINTENANCE), address, port
    with sql.postgresql(*connection) as cursor:
        version = cursor.connection.info.parameter_status("server_version")
        probes.check_version("PostgreSQL", str(version))
        cursor.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        )
        superuser, makes_roles, makes_databases = cursor.fetchone()
        # From PostgreSQL 16 on membership alone is not enough.
        right = "SET" if cursor.connection.server_version >= 160000 else "MEMBER"
        cursor.execute(
            "SELECT pg_has_role(oid, %s) FROM pg_roles WHERE rolname = %s", (right, user)
        )
        role = cursor.fetchone()
        cursor.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (database,)
        )
        owner = first(cursor)
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        available = first(cursor)
        cursor.execute("SHOW password_encryption")
        # The server, and so its log, never sees the password itself. Older servers answer "on".
        algorithm = "scram-sha-256" if first(cursor) == "scram-sha-256" else "md5"
        verifier = encrypt_password(secret.get_secret_value(), user, cursor.connection, algorithm)
    others, trigram = 0, None
    if owner:
        inside = settings, Login(admin.user, admin.password, database), address, port
        with sql.postgresql(*inside) as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> %s",
                (user,),
            )
            others = first(cursor)
            cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
            trigram = first(cursor)
    try:
        with sql.postgresql(settings, Login(user, secret, MAINTENANCE), address, port):
            logs_in = True
    except psycopg2.OperationalError:
        logs_in = False
    found = ServerState(
        makes_roles=superuser or makes_roles,
        makes_databases=superuser or makes_databases,
        superuser=superuser,
        role=role is not None,
        logs_in=logs_in,
        member=superuser or bool(role and role[0]),
        owner=owner,
        others=others,
        trigram_available=available is not None,
        trigram=trigram is not None,
    )
    return found, verifier


def steps(found: ServerState, settings: Settings, admin: str, verifier: str) -> Iterator[Step]:
    """Yield the steps from the state that was found to the one that Quay needs.

    Args:
        verifier: the hash of Quay's password that the server stores.

    Raises:
        Unreachable: the administrator lacks a right, or the database has tables of others.
    """
    user, database = settings.database_user, settings.database_name
    if not found.trigram_available:
        raise Unreachable(
            "the server has no pg_trgm, which Quay needs; install PostgreSQL's contrib modules "
            "there"
        )
    if found.others and found.owner != user:
        raise Unreachable(
            f"the database {database} holds {found.others} tables of others; set database_name to "
            "one of Quay's own"
        )
    if not found.logs_in:
        if not found.makes_roles:
            raise Unreachable(
                f"database_admin: {admin} may not make roles or set their passwords (CREATEROLE)"
            )
        verb = "ALTER" if found.role else "CREATE"
        what = "set the password of" if found.role else "make"
        yield Step(
            f"{what} the role {user}",
            MAINTENANCE,
            f"{verb} ROLE \"{user}\" LOGIN PASSWORD '{verifier}'",
            takes_over=found.role,
        )
    if found.owner != user and not found.member:
        # To give a database to a role, one must be able to act as that role.
        yield Step(f"let {admin} act as {user}", MAINTENANCE, f'GRANT "{user}" TO CURRENT_USER')
    if found.owner is None:
        if not found.makes_databases:
            raise Unreachable(f"database_admin: {admin} may not make databases (CREATEDB)")
        yield Step(
            f"make the database {database}",
            MAINTENANCE,
            f'CREATE DATABASE "{database}" OWNER "{user}"',
        )
    elif found.owner != user:
        yield Step(
            f"give the database {database} to {user}",
            MAINTENANCE,
            f'ALTER DATABASE "{database}" OWNER TO "{user}"',
        )
    if not found.trigram:
        yield Step("make pg_trgm", database, "CREATE EXTENSION IF NOT EXISTS pg_trgm")
