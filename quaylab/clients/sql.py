"""Connections to Quay's database server, made as Quay makes them."""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import psycopg2.extensions
import pymysql

from quaylab import tls
from quaylab.clients import postgresql_tls
from quaylab.database_login import Login
from quaylab.settings.loading import Settings

TIMEOUT = 10


@contextmanager
def postgresql(settings: Settings, login: Login, address: str, port: int) -> Iterator[Any]:
    """Yield a cursor that commits each statement; ``address`` may be a tunnel's end.

    Raises:
        psycopg2.Error: no connection, or a failed statement.
        OSError: the server can't be trusted (:class:`ssl.SSLError` with the reason).
    """
    # pyinfra runs on gevent; libpq would block it, and with it the tunnel.
    psycopg2.extensions.set_wait_callback(_wait)
    target: dict[str, Any] = {"host": address}
    name = settings.database_host or address
    if settings.database_ca:
        target = {"host": name, "sslmode": "verify-full", "sslrootcert": str(settings.database_ca)}
        if name != address:
            target["hostaddr"] = address
    try:
        connection = psycopg2.connect(
            **target,
            port=port,
            user=login.user,
            password=login.password.get_secret_value(),
            dbname=login.database,
            connect_timeout=TIMEOUT,
        )
    except psycopg2.OperationalError:
        if settings.database_ca:
            trusted = tls.context(settings.database_ca.read_text())
            postgresql_tls.greet_postgresql(address, port, name, trusted, TIMEOUT)
        raise
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


@contextmanager
def mysql(settings: Settings, login: Login, address: str, port: int) -> Iterator[Any]:
    """Yield a cursor that commits each statement; ``address`` may be a tunnel's end.

    Raises:
        pymysql.Error: no connection, or a failed statement.
        OSError: no connection, or no trust (:class:`ssl.SSLError` with the reason).
    """
    authority = settings.database_ca
    trusted = tls.context(authority.read_text()) if authority else None
    connection = pymysql.connect(
        # The name that is verified; the connection is opened below.
        host=settings.database_host or address,
        user=login.user,
        password=login.password.get_secret_value(),
        database=login.database,
        autocommit=True,
        read_timeout=TIMEOUT,
        ssl=trusted,
        # Otherwise newer releases than Quay's would try TLS without verification.
        ssl_disabled=trusted is None,
        defer_connect=True,
    )
    try:
        connection.connect(socket.create_connection((address, port), TIMEOUT))
    except pymysql.OperationalError as error:
        if isinstance(cause := getattr(error, "original_exception", None), ssl.SSLError):
            raise cause from None
        raise
    try:
        with connection.cursor() as cursor:
            if trusted:
                _require_tls(cursor)
            yield cursor
    finally:
        connection.close()


def _require_tls(cursor: Any) -> None:
    """Check that TLS is used: Quay's PyMySQL goes on without it if the server has none."""
    cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    if not dict(cursor.fetchall()).get("Ssl_cipher"):
        raise ssl.SSLError("the server has no TLS")


def _wait(connection: Any) -> None:
    """Wait for libpq in a way that gevent can interrupt; without gevent it is plain waiting."""
    end = time.monotonic() + TIMEOUT
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        # libpq's own time-out covers only waits inside libpq.
        left = end - time.monotonic()
        if left <= 0:
            raise psycopg2.OperationalError(f"no answer within {TIMEOUT} s")
        sockets = [connection.fileno()]
        if state == psycopg2.extensions.POLL_READ:
            select.select(sockets, [], [], left)
        else:
            select.select([], sockets, [], left)


def first(cursor: Any) -> Any:
    """Return the first column of the first row; None without a row."""
    row = cursor.fetchone()
    return row[0] if row else None
