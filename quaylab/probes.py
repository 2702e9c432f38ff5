"""Asking database and Redis with exactly Quay's own credentials."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quaylab.credentials import Credentials
from quaylab.settings import Settings

TIMEOUT = 10


@dataclass(frozen=True)
class Answer:
    """A service that answered: its version, and how long the question took."""

    version: str
    milliseconds: float

    def __str__(self) -> str:
        return f"{self.version} answers in {self.milliseconds:.0f} ms"


class Unreachable(Exception):
    """The service did not answer Quay's credentials, with the reason in one line."""


def database(settings: Settings, credentials: Credentials, address: str, port: int) -> Answer:
    """Connect as Quay does, and check what Quay needs of its database.

    Raises:
        Unreachable: no answer, a refusal, or pg_trgm (PostgreSQL) or latin1 (MySQL) missing.
    """
    password = credentials.database_password.get_secret_value()
    if settings.database_engine == "postgresql":
        return _asked(lambda: _postgresql(settings, password, address, port))
    return _asked(lambda: _mysql(settings, password, address, port))


def redis_server(credentials: Credentials, address: str, port: int) -> Answer:
    """PING Redis with its password.

    Raises:
        Unreachable: no answer, or a wrong password.
    """

    def ask() -> str:
        client = redis.Redis(
            host=address,
            port=port,
            password=credentials.redis_password.get_secret_value(),
            socket_timeout=TIMEOUT,
            # The newer protocol starts with a command that Redis knows from 6 on only.
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            client.ping()
            info: dict[str, Any] = client.info("server")
        finally:
            client.close()
        return str(info["redis_version"])

    return _asked(ask)


def _asked(ask: Callable[[], str]) -> Answer:
    started = time.monotonic()
    try:
        version = ask()
    except (psycopg2.Error, pymysql.Error, redis.RedisError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Unreachable(lines[0]) from error
    return Answer(version, (time.monotonic() - started) * 1000)


def _postgresql(settings: Settings, password: str, address: str, port: int) -> str:
    # pyinfra runs on gevent, and libpq would block it, tunnel and all.
    psycopg2.extensions.set_wait_callback(_wait)
    connection = psycopg2.connect(
        host=address,
        port=port,
        user=settings.database_user,
        password=password,
        dbname=settings.database_name,
        connect_timeout=TIMEOUT,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
            if cursor.fetchone() is None:
                raise Unreachable(
                    "pg_trgm is missing; run in Quay's database as its administrator: "
                    "CREATE EXTENSION pg_trgm"
                )
        # Told by the server when the connection was made.
        return str(connection.info.parameter_status("server_version"))
    finally:
        connection.close()


def _mysql(settings: Settings, password: str, address: str, port: int) -> str:
    connection = pymysql.connect(
        host=address,
        port=port,
        user=settings.database_user,
        password=password,
        database=settings.database_name,
        connect_timeout=TIMEOUT,
        read_timeout=TIMEOUT,
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@character_set_database, VERSION()")
            ((charset, version),) = cursor.fetchall()
    finally:
        connection.close()
    if charset != "latin1":
        raise Unreachable(
            f"the database's character set is {charset}, and Quay's tables need latin1; run: "
            f"ALTER DATABASE {settings.database_name} CHARACTER SET latin1"
        )
    return str(version)


def _wait(connection: Any) -> None:
    """Wait for libpq in a way that gevent can interrupt; without gevent it is plain waiting."""
    end = time.monotonic() + TIMEOUT
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        # libpq's own time-out ends only the waiting that libpq does itself.
        left = end - time.monotonic()
        if left <= 0:
            raise psycopg2.OperationalError(f"no answer within {TIMEOUT} s")
        sockets = [connection.fileno()]
        if state == psycopg2.extensions.POLL_READ:
            select.select(sockets, [], [], left)
        else:
            select.select([], sockets, [], left)
