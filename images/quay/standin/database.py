"""The connection to the database of DB_URI, and inserts that another node may have been first with.

Other statements are plain SQL: the schema is small, and the migrations are SQL anyway.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy.exc
from sqlalchemy import Connection, Engine, column, create_engine, make_url, table

from standin import StartError
from standin.config import Settings

CONNECT_SECONDS = 3
# Understood by Quay's own database layer, not by the drivers.
QUAY_ONLY_ARGUMENTS = ("threadlocals", "autorollback")


def make_engine(settings: Settings, migrating: bool = False) -> Engine:
    """Return an engine that reconnects by itself when the database was away.

    As in Quay, a migration takes of DB_CONNECTION_ARGS only ``ssl``, which is MySQL's, and what
    serves takes nothing of DB_URI but where the database is.
    """
    try:
        url = make_url(settings.values["DB_URI"])
    except sqlalchemy.exc.ArgumentError as error:
        # Without the error: its text has the address, and with it the password.
        raise StartError("DB_URI is not an address") from error.__cause__
    if url.drivername not in ("postgresql", "mysql+pymysql"):
        raise StartError("DB_URI must begin with postgresql:// or mysql+pymysql://")
    arguments: dict[str, Any] = {
        key: value
        for key, value in (settings.values.get("DB_CONNECTION_ARGS") or {}).items()
        if (key == "ssl" if migrating else key not in QUAY_ONLY_ARGUMENTS)
    }
    if not migrating:
        url = url.set(query={})
    arguments.setdefault("connect_timeout", CONNECT_SECONDS)
    return create_engine(url, connect_args=arguments, pool_pre_ping=True, hide_parameters=True)


def connect(settings: Settings, migrating: bool = False) -> Engine:
    """Return an engine, after its database has answered once; else raise the server's reason."""
    engine = make_engine(settings, migrating)
    try:
        with engine.connect():
            return engine
    except sqlalchemy.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        raise StartError(f"the database of DB_URI does not let us in: {reason}") from error


def insert(connection: Connection, name: str, row: Mapping[str, Any]) -> bool:
    """Add a row; return False if its key exists, as another node may have been quicker."""
    try:
        with connection.begin_nested():
            connection.execute(table(name, *map(column, row)).insert().values(row))
    except sqlalchemy.exc.IntegrityError:
        return False
    return True


def save(
    connection: Connection, name: str, key: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Set the values of the row with that key, or insert it."""
    target = table(name, *map(column, [*key, *values]))
    update = target.update().where(*(target.c[k] == v for k, v in key.items())).values(values)
    if connection.execute(update).rowcount or insert(connection, name, {**key, **values}):
        return
    connection.execute(update)
