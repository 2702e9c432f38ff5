"""Probes of database and Redis with exactly Quay's credentials."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quaylab import tls
from quaylab.clients import sql
from quaylab.database_login import Login
from quaylab.secrets.credentials import Credentials
from quaylab.settings.loading import Settings

T = TypeVar("T")

# The oldest versions in upstream's own tests; Redis 3.2 is in RHEL 7's software collections.
OLDEST = {"PostgreSQL": (11,), "MySQL": (5, 7), "MariaDB": (10, 2), "Redis": (3, 2)}
# libpq's words before the reason: the address is the tunnel's end, which doesn't help anybody.
LIBPQ_PREFIX = re.compile(r"^connection to server .*? failed: ")
# Clients' errors when a connection ends without an answer.
SILENCE = re.compile(
    "closed the connection unexpectedly|Lost connection|Connection closed|reset by peer"
    "|EOF occurred"
)
# Servers' errors for a wrong password.
PASSWORD_REFUSED = (
    "password authentication failed|using password|WRONGPASS|invalid .*password|any password"
)
# External servers' errors, each with its remedy.
REMEDIES = {
    """password authentication failed for user "{user}"|user '{user}'.* password""": (
        "give the right one as QUAYLAB_DATABASE_PASSWORD, or set database_admin"
    ),
    "WRONGPASS|invalid username-password": "give the right one as QUAYLAB_REDIS_PASSWORD",
    "database .* does not exist|Unknown database": (
        "make it, owned by {user}, or set database_admin"
    ),
    "user '{user}'.* to database": (
        "run there: GRANT ALL ON {database}.* TO {user}, or set database_admin"
    ),
    "insecure transport": "it takes TLS only: set database_ca",
}


@dataclass(frozen=True)
class Answer:
    """The answer of a service: what it is, such as ``PostgreSQL 17.2``, and the time it took."""

    server: str
    milliseconds: float

    def __str__(self) -> str:
        return f"{self.server} answers in {self.milliseconds:.0f} ms"


class Unreachable(Exception):
    """The service can't be used with Quay's credentials; the message is one line."""


def database(settings: Settings, credentials: Credentials, address: str, port: int) -> Answer:
    """Connect as Quay does, and check what Quay needs of its database.

    Raises:
        Unreachable: no answer, a refusal, too old, no writes, or pg_trgm or a right (PostgreSQL)
            or latin1 (MySQL) missing.
    """
    login = Login(settings.database_user, credentials.database_password, settings.database_name)
    ask = _postgresql if settings.database_engine == "postgresql" else _mysql
    return _measure(
        lambda: query(lambda: ask(settings, login, address, port), settings, "database")
    )


def redis_server(settings: Settings, credentials: Credentials, address: str, port: int) -> Answer:
    """PING Redis with its password, and check that it is not a replica.

    Raises:
        Unreachable: no answer, a wrong password, a replica, or too old.
    """

    def ask() -> str:
        pool = redis.ConnectionPool(
            connection_class=_Redis,
            authority=settings.redis_ca,
            name=settings.redis_host or address,
            host=address,
            port=port,
            password=credentials.redis_password.get_secret_value(),
            socket_timeout=sql.TIMEOUT,
            # Protocol 3 begins with a command that only Redis 6 and newer know.
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        client = redis.Redis.from_pool(pool)
        try:
            client.ping()
            info: dict[str, Any] = {**client.info("server"), **client.info("replication")}
        finally:
            client.close()
        if info["role"] != "master":
            raise Unreachable(
                "it takes no writes, as it is a replica; set redis_host to its primary, or make it "
                "one: REPLICAOF NO ONE"
            )
        return check_version("Redis", str(info["redis_version"]))

    return _measure(lambda: query(ask, settings, "redis"))


class _Redis(redis.Connection):
    """A connection that may go through a tunnel, and verifies the name of the server behind it."""

    def __init__(self, authority: Path | None, name: str, **options: Any) -> None:
        self._trusted = tls.context(authority.read_text()) if authority else None
        self._name = name
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        plain: socket.socket = super()._connect()  # type: ignore[no-untyped-call]
        if self._trusted is None:
            return plain
        return self._trusted.wrap_socket(plain, server_hostname=self._name)


def query(ask: Callable[[], T], settings: Settings, part: str) -> T:
    """Return the result of ``ask``, which calls a client.

    Args:
        part: database or redis, the prefix of the service's settings.

    Raises:
        Unreachable: the client's or the server's reason, in one line.
    """
    try:
        return ask()
    except (psycopg2.Error, pymysql.Error, redis.RedisError, OSError) as error:
        raise Unreachable(_reason(error, settings, part)) from error


def check_version(kind: str, version: str) -> str:
    """Return a server's kind and version if Quay can use it.

    Raises:
        Unreachable: it is too old.
    """
    numbers = tuple(int(number) for number in re.findall(r"[0-9]+", version)[:3])
    if numbers < OLDEST[kind]:
        needed = ".".join(map(str, OLDEST[kind]))
        raise Unreachable(f"found {kind} {version}, needed {needed} or newer")
    return f"{kind} {version}"


def mysql_kind(version: str) -> str:
    """Return MariaDB or MySQL: MariaDB's version has its name in it."""
    return "MariaDB" if "MariaDB" in version else "MySQL"


def _measure(ask: Callable[[], str]) -> Answer:
    started = time.monotonic()
    server = ask()
    return Answer(server, (time.monotonic() - started) * 1000)


def _reason(error: Exception, settings: Settings, part: str) -> str:
    # redis-py hides the reason behind its own text, which has the tunnel's address in it.
    reason = error.__context__ if isinstance(error, redis.ConnectionError) else None
    reason = reason or error
    if isinstance(reason, ssl.SSLError) and not isinstance(reason, ssl.SSLEOFError):
        return tls.reason(reason, f"{part}_ca")
    # PyMySQL's errors are a code and a text.
    text = reason.args[-1] if isinstance(reason, pymysql.Error) and reason.args else reason
    line = (str(text).strip().splitlines() or [type(reason).__name__])[0]
    line = LIBPQ_PREFIX.sub("", line)
    if SILENCE.search(line):
        return (
            "the connection ends without an answer: nothing listens there, a firewall drops it, or "
            f"the server requires TLS (set {part}_ca)"
        )
    if not getattr(settings, f"{part}_host"):
        if re.search(PASSWORD_REFUSED, line):
            return f"{line}; it was changed there by hand: tasks/{part}.py sets it again"
    else:
        names = {"user": settings.database_user, "database": settings.database_name}
        for words, remedy in REMEDIES.items():
            if re.search(words.format(**names), line):
                return f"{line}; {remedy.format(**names)}"
    return line


def _postgresql(settings: Settings, login: Login, address: str, port: int) -> str:
    with sql.postgresql(settings, login, address, port) as cursor:
        # The server sends it when the connection is made.
        # A distribution adds its own version behind a space.
        version = str(cursor.connection.info.parameter_status("server_version")).split()[0]
        server = check_version("PostgreSQL", version)
        cursor.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'")
        if cursor.fetchone() is None:
            raise Unreachable(
                "pg_trgm is missing; run in Quay's database as its administrator: "
                "CREATE EXTENSION pg_trgm"
            )
        # Since PostgreSQL 15 only the owner of the database may do so by default.
        cursor.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')")
        if cursor.fetchone() != (True,):
            raise Unreachable(
                f"{login.user} may not make tables; run as the server's administrator: "
                f"ALTER DATABASE {login.database} OWNER TO {login.user}"
            )
        cursor.execute("SELECT current_setting('transaction_read_only') = 'off'")
        if cursor.fetchone() != (True,):
            raise Unreachable(
                "it takes no writes; if it is a standby set database_host to its primary, else "
                "reset default_transaction_read_only there"
            )
    return server


def _mysql(settings: Settings, login: Login, address: str, port: int) -> str:
    with sql.mysql(settings, login, address, port) as cursor:
        cursor.execute("SELECT @@character_set_database, VERSION(), @@read_only")
        ((charset, version, read_only),) = cursor.fetchall()
    server = check_version(mysql_kind(version), version)
    if charset != "latin1":
        raise Unreachable(
            f"the database's character set is {charset}, and Quay's tables need latin1; run: "
            f"ALTER DATABASE {login.database} CHARACTER SET latin1"
        )
    if str(read_only) not in ("0", "OFF"):  # MariaDB 12 has a word
        raise Unreachable(
            "it takes no writes; if it is a replica set database_host to its primary, else run "
            "there: SET GLOBAL read_only = OFF"
        )
    return server
