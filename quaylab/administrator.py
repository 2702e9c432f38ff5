"""A database server that runs elsewhere, as its administrator: what Quay lacks there, and how to
make it. An administrator at RDS or Cloud SQL is no superuser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pymysql
from psycopg2.extensions import encrypt_password
from pydantic import SecretStr

from quaylab import probes, sql
from quaylab.credentials import ENVIRONMENT_PREFIX, Credentials
from quaylab.probes import Unreachable
from quaylab.problems import Refusal
from quaylab.settings import Settings
from quaylab.sql import Login

VARIABLE = f"{ENVIRONMENT_PREFIX}DATABASE_ADMIN_PASSWORD"
# The database that every PostgreSQL has.
MAINTENANCE = "postgres"


@dataclass(frozen=True)
class Step:
    """One statement, in which database it runs (MySQL: none), and what it is for."""

    told: str
    database: str | None
    statement: str = field(repr=False)


@dataclass(frozen=True)
class PostgreSQL:
    """What an administrator sees. ``owner`` is None without the database, ``member`` is whether
    the administrator may act as Quay's role, and ``others`` are tables that aren't Quay's."""

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


@dataclass(frozen=True)
class MySQL:
    """Likewise. ``character_set`` is None without the database."""

    role: bool
    logs_in: bool
    enters: bool
    character_set: str | None


def password(environment: Mapping[str, str], ask: Callable[[str], str] | None) -> SecretStr:
    """The administrator's password, for this run only.

    Raises:
        Refusal: it is not given, and can't be asked for.
    """
    if given := environment.get(VARIABLE):
        return SecretStr(given)
    if ask is None:
        raise Refusal(
            [
                "database_admin: the database doesn't answer Quay, and to make what is missing "
                f"needs this one's password; give it as {VARIABLE} in the environment, or run at "
                "a terminal"
            ]
        )
    return SecretStr(ask("password of database_admin (for this run only): "))


def missing(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    """What has to be done before Quay can use the database, in its order.

    Raises:
        Unreachable: the administrator isn't let in, or can't do it; with the reason.
    """
    if settings.database_engine == "postgresql":
        return probes.asked(
            lambda: _postgresql_missing(settings, credentials, admin, address, port),
            settings,
            "database",
        )
    return probes.asked(
        lambda: _mysql_missing(settings, credentials, admin, address, port), settings, "database"
    )


def take(settings: Settings, admin: Login, step: Step, address: str, port: int) -> None:
    """Do one step.

    Raises:
        Unreachable: the server's reason, in one line.
    """
    connected = sql.postgresql if settings.database_engine == "postgresql" else sql.mysql
    login = Login(admin.user, admin.password, step.database)

    def run() -> None:
        with connected(settings, login, address, port) as cursor:
            cursor.execute(step.statement)

    probes.asked(run, settings, "database")


# --- PostgreSQL ---


def _postgresql_missing(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    user, database = settings.database_user, settings.database_name
    secret = credentials.database_password
    way = settings, Login(admin.user, admin.password, MAINTENANCE), address, port
    with sql.postgresql(*way) as cursor:
        told = cursor.connection.info.parameter_status("server_version")
        probes.not_too_old("PostgreSQL", str(told))
        cursor.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
        )
        superuser, makes_roles, makes_databases = cursor.fetchone()
        # From 16 on membership alone doesn't do.
        right = "SET" if cursor.connection.server_version >= 160000 else "MEMBER"
        cursor.execute(
            "SELECT pg_has_role(oid, %s) FROM pg_roles WHERE rolname = %s", (right, user)
        )
        role = cursor.fetchone()
        cursor.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (database,)
        )
        owner = _first(cursor)
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")
        available = _first(cursor)
        cursor.execute("SHOW password_encryption")
        # The server, and so its log, never sees the password itself. Older ones say "on".
        algorithm = "scram-sha-256" if _first(cursor) == "scram-sha-256" else "md5"
        verifier = encrypt_password(secret.get_secret_value(), user, cursor.connection, algorithm)
    others, trigram = 0, None
    if owner:
        inside = settings, Login(admin.user, admin.password, database), address, port
        with sql.postgresql(*inside) as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> %s",
                (user,),
            )
            others = _first(cursor)
            cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
            trigram = _first(cursor)
    try:
        with sql.postgresql(settings, Login(user, secret, MAINTENANCE), address, port):
            logs_in = True
    except psycopg2.OperationalError:
        logs_in = False
    found = PostgreSQL(
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
    return tuple(postgresql_steps(found, settings, admin.user, verifier))


def postgresql_steps(
    found: PostgreSQL, settings: Settings, admin: str, verifier: str
) -> Iterator[Step]:
    """The steps from what was found to what Quay needs.

    Args:
        verifier: what the server keeps of the password of Quay's role.

    Raises:
        Unreachable: the administrator has no right to one, or the database is another's.
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
        )
    if found.owner != user and not found.member:
        # Who gives a database to a role has to be able to act as that role.
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


# --- MySQL ---


def _mysql_missing(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    user, database = settings.database_user, settings.database_name
    secret = credentials.database_password
    way = settings, Login(admin.user, admin.password, None), address, port
    with sql.mysql(*way) as cursor:
        cursor.execute("SELECT VERSION()")
        version = str(_first(cursor))
        probes.not_too_old(probes.mysql_kind(version), version)
        cursor.execute("SELECT 1 FROM mysql.user WHERE user = %s AND host = '%%'", (user,))
        role = _first(cursor)
        cursor.execute(
            "SELECT default_character_set_name FROM information_schema.schemata "
            "WHERE schema_name = %s",
            (database,),
        )
        character_set = _first(cursor)
        quoted = cursor.connection.escape(secret.get_secret_value())

    def lets_in(into: str | None) -> bool:
        try:
            with sql.mysql(settings, Login(user, secret, into), address, port):
                return True
        except pymysql.OperationalError:
            return False

    found = MySQL(role is not None, lets_in(None), lets_in(database), character_set)
    return tuple(mysql_steps(found, settings, quoted))


def mysql_steps(found: MySQL, settings: Settings, password: str) -> Iterator[Step]:
    """The steps from what was found to what Quay needs.

    Args:
        password: that of Quay's role, quoted for SQL.
    """
    user, database = f"'{settings.database_user}'@'%'", settings.database_name
    if not found.logs_in:
        verb = "ALTER" if found.role else "CREATE"
        what = "set the password of" if found.role else "make"
        yield Step(
            f"{what} the role {settings.database_user}",
            None,
            f"{verb} USER {user} IDENTIFIED BY {password}",
        )
    if found.character_set != "latin1":
        # Quay's widest column, VARCHAR(60535), doesn't fit into a row of utf8mb4.
        verb = "ALTER" if found.character_set else "CREATE"
        what = "set the character set of" if found.character_set else "make"
        yield Step(
            f"{what} the database {database}",
            None,
            f"{verb} DATABASE `{database}` CHARACTER SET latin1",
        )
    if not found.enters:
        # GRANT takes a pattern, in which an underscore means any character.
        pattern = database.replace("_", r"\_")
        yield Step(
            f"give {settings.database_user} its rights in {database}",
            None,
            f"GRANT ALL ON `{pattern}`.* TO {user}",
        )


def _first(cursor: Any) -> Any:
    """The first column of the first row; None without one."""
    row = cursor.fetchone()
    return row[0] if row else None
