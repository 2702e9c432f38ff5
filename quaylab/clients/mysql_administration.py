"""What Quay lacks on a MySQL that runs elsewhere, and the statements that make it."""

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
class MySQL:
    """What an administrator sees. ``enters`` is whether Quay's role gets into the
    database; ``character_set`` is None without the database."""

    role: bool
    logs_in: bool
    enters: bool
    character_set: str | None


def missing(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    """The steps to what Quay needs, as the administrator and Quay's role see the server.

    Raises:
        Unreachable: the server is too old, or the administrator can't do it.
        pymysql.Error, OSError: the administrator isn't let in.
    """
    user, database = settings.database_user, settings.database_name
    secret = credentials.database_password
    connection = settings, Login(admin.user, admin.password, None), address, port
    with sql.mysql(*connection) as cursor:
        cursor.execute("SELECT VERSION()")
        version = str(first(cursor))
        probes.not_too_old(probes.mysql_kind(version), version)
        cursor.execute("SELECT 1 FROM mysql.user WHERE user = %s AND host = '%%'", (user,))
        role = first(cursor)
        cursor.execute(
            "SELECT default_character_set_name FROM information_schema.schemata "
            "WHERE schema_name = %s",
            (database,),
        )
        character_set = first(cursor)
        quoted = cursor.connection.escape(secret.get_secret_value())

    def lets_in(into: str | None) -> bool:
        try:
            with sql.mysql(settings, Login(user, secret, into), address, port):
                return True
        except pymysql.OperationalError:
            return False

    found = MySQL(role is not None, lets_in(None), lets_in(database), character_set)
    return tuple(steps(found, settings, quoted))


def steps(found: MySQL, settings: Settings, password: str) -> Iterator[Step]:
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
        # GRANT takes a pattern, in which an underscore means any character.
        pattern = database.replace("_", r"\_")
        yield Step(
            f"give {settings.database_user} its rights in {database}",
            None,
            f"GRANT ALL ON `{pattern}`.* TO {user}",
        )
