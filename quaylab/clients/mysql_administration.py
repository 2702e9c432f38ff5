"""The statements that prepare an external MySQL server for Quay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pymysql

from quaylab.clients import probes, sql
from quaylab.clients.sql import first
from quaylab.database_login import Login, Step
from quaylab.secrets.credentials import Credentials
from quaylab.settings.loading import Settings


@dataclass(frozen=True)
class ServerState:
    """The state that an administrator finds. ``role`` is whether Quay's role exists, ``logs_in``
    whether it can log in, and ``enters`` whether it may use the database. ``character_set`` is
    None without the database."""

    role: bool
    logs_in: bool
    enters: bool
    character_set: str | None


def missing_steps(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    """Return the steps that the server still needs for Quay.

    Raises:
        Unreachable: the server is too old.
        pymysql.Error, OSError: the administrator can't log in.
    """
    user, database = settings.database_user, settings.database_name
    secret = credentials.database_password
    connection = settings, Login(admin.user, admin.password, None), address, port
    with sql.mysql(*connection) as cursor:
        cursor.execute("SELECT VERSION()")
        version = str(first(cursor))
        probes.check_version(probes.mysql_kind(version), version)
        cursor.execute("SELECT 1 FROM mysql.user WHERE user = %s AND host = '%%'", (user,))
        role = first(cursor)
        cursor.execute(
            "SELECT default_character_set_name FROM information_schema.schemata "
            "WHERE schema_name = %s",
            (database,),
        )
        character_set = first(cursor)
        quoted = cursor.connection.escape(secret.get_secret_value())

    def can_log_in(to: str | None) -> bool:
        try:
            with sql.mysql(settings, Login(user, secret, to), address, port):
                return True
        except pymysql.OperationalError:
            return False

    found = ServerState(role is not None, can_log_in(None), can_log_in(database), character_set)
    return tuple(steps(found, settings, quoted))


def steps(found: ServerState, settings: Settings, password: str) -> Iterator[Step]:
    """Yield the steps from the state that was found to the one that Quay needs.

    Args:
        password: the password of Quay's role, quoted for SQL.
    """
    user, database = f"'{settings.database_user}'@'%'", settings.database_name
    if not found.logs_in:
        verb = "ALTER" if found.role else "CREATE"
        what = "set the password of" if found.role else "make"
        yield Step(
            f"{what} the role {settings.database_user}",
            None,
            f"{verb} USER {user} IDENTIFIED BY {password}",
            takes_over=found.role,
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
        # In GRANT the name is a pattern, in which an underscore matches any character.
        pattern = database.replace("_", r"\_")
        yield Step(
            f"give {settings.database_user} its rights in {database}",
            None,
            f"GRANT ALL ON `{pattern}`.* TO {user}",
        )
