"""Probes of database and Redis with exactly Quay's credentials."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import psycopg2.extensions
import pytest

from quaylab.clients import probes, sql
from quaylab.clients.probes import Answer, Unreachable
from tests.authority import Authority
from tests.leaks import leaked
from tests.unit.quaylab.small_servers import (
    Handler,
    MySQL,
    MySQLReplica,
    PostgreSQL,
    PostgreSQLStandby,
    Redis,
    RedisReplica,
    Silent,
    serving,
)
from tests.unit.samples import CREDENTIALS, SECRETS, settings

PASSWORD = CREDENTIALS.database_password.get_secret_value()
REDIS_PASSWORD = CREDENTIALS.redis_password.get_secret_value()


@pytest.fixture(autouse=True)
def _default_waiting() -> Iterator[None]:
    yield
    psycopg2.extensions.set_wait_callback(None)


def _ask(service: str, port: int) -> Answer:
    if service == "redis":
        return probes.redis_server(settings(), CREDENTIALS, "127.0.0.1", port)
    return probes.database(settings(database_engine=service), CREDENTIALS, "127.0.0.1", port)


@pytest.mark.parametrize(
    ("service", "handler", "password", "answer", "server"),
    [
        ("redis", Redis, REDIS_PASSWORD, "7.2.4", "Redis 7.2.4"),
        ("postgresql", PostgreSQL, PASSWORD, "1", "PostgreSQL 15.4"),
        ("mysql", MySQL, PASSWORD, "latin1", "MySQL 8.0.36"),
    ],
    ids=["redis", "postgresql", "mysql"],
)
def test_a_service_that_answers(
    service: str, handler: type[Handler], password: str, answer: str, server: str
) -> None:
    with serving(handler, password, answer) as port:
        found = _ask(service, port)
    assert found.server == server
    assert 0 < found.milliseconds < 10_000


@pytest.mark.parametrize(
    ("service", "handler", "message"),
    [
        ("redis", Redis, "invalid username-password pair"),
        ("postgresql", PostgreSQL, "password authentication failed"),
        ("mysql", MySQL, "Access denied"),
    ],
    ids=["redis", "postgresql", "mysql"],
)
def test_wrong_password_is_reported_in_one_line_without_showing_it(
    service: str, handler: type[Handler], message: str
) -> None:
    with serving(handler, "another-password") as port, pytest.raises(Unreachable) as error:
        _ask(service, port)
    assert message in str(error.value)
    task = "redis" if service == "redis" else "database"
    assert str(error.value).endswith(f"changed there by hand: tasks/{task}.py sets it again")
    assert "\n" not in str(error.value)
    assert leaked(SECRETS, str(error.value)) == []


@pytest.mark.parametrize("service", ["redis", "postgresql", "mysql"])
def test_nobody_there(service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        _ask(service, port)


# libpq accepts whole seconds only.
@pytest.mark.parametrize(("service", "bound"), [("redis", 0.1), ("postgresql", 1), ("mysql", 0.1)])
def test_a_silent_server_is_not_waited_for_endlessly(
    service: str, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "TIMEOUT", bound)
    with serving(Silent) as port, pytest.raises(Unreachable):
        _ask(service, port)


@pytest.mark.parametrize(
    ("service", "handler", "password", "answer"),
    [
        ("redis", RedisReplica, REDIS_PASSWORD, "7.2.4"),
        ("postgresql", PostgreSQLStandby, PASSWORD, "1"),
        ("mysql", MySQLReplica, PASSWORD, "latin1"),
    ],
    ids=["redis", "postgresql", "mysql"],
)
def test_a_read_only_service_is_refused(
    service: str, handler: type[Handler], password: str, answer: str
) -> None:
    """It answers every query, but pushes to Quay would fail."""
    with serving(handler, password, answer) as port, pytest.raises(Unreachable) as error:
        _ask(service, port)
    assert str(error.value).startswith("it takes no writes")
    setting = "redis_host" if service == "redis" else "database_host"
    assert setting in str(error.value)


def test_missing_extension_is_reported_with_the_remedy() -> None:
    with serving(PostgreSQL, PASSWORD, None) as port, pytest.raises(Unreachable) as error:
        _ask("postgresql", port)
    assert "pg_trgm is missing" in str(error.value)
    assert "CREATE EXTENSION pg_trgm" in str(error.value)


def test_wrong_character_set_is_reported_with_the_remedy() -> None:
    with serving(MySQL, PASSWORD, "utf8mb4") as port, pytest.raises(Unreachable) as error:
        _ask("mysql", port)
    assert "character set is utf8mb4" in str(error.value)
    assert "ALTER DATABASE quay CHARACTER SET latin1" in str(error.value)


# --- TLS ---

NAME = "services.example.com"
SERVERS = {
    "redis": (Redis, REDIS_PASSWORD, "7.2.4"),
    "postgresql": (PostgreSQL, PASSWORD, "1"),
    "mysql": (MySQL, PASSWORD, "latin1"),
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new()


def _tls(authority: Authority, folder: Path, name: str = NAME, days: int = 30) -> ssl.SSLContext:
    certificate, key = authority.sign(name, days=days)
    (folder / "server.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def _ask_with_tls(service: str, port: int, authority: Path) -> Answer:
    """Ask through the end of a tunnel, whose address is not in the certificate."""
    part = "redis" if service == "redis" else "database"
    with_tls = settings(
        **{f"{part}_host": NAME, f"{part}_ca": authority},
        database_engine="mysql" if service == "mysql" else "postgresql",
    )
    if service == "redis":
        return probes.redis_server(with_tls, CREDENTIALS, "127.0.0.1", port)
    return probes.database(with_tls, CREDENTIALS, "127.0.0.1", port)


@pytest.mark.parametrize("service", SERVERS)
def test_tls_verifies_the_name_behind_the_tunnel(
    service: str, authority: Authority, tmp_path: Path
) -> None:
    handler, password, answer = SERVERS[service]
    ca = authority.save(tmp_path / "ca.pem")
    with serving(handler, password, answer, _tls(authority, tmp_path)) as port:
        assert _ask_with_tls(service, port, ca).server


@pytest.mark.parametrize("service", SERVERS)
def test_private_ca_of_openssl_is_trusted(service: str, tmp_path: Path) -> None:
    authority = Authority.by_openssl(tmp_path)
    handler, password, answer = SERVERS[service]
    ca = authority.save(tmp_path / "ca.pem")
    with serving(handler, password, answer, _tls(authority, tmp_path)) as port:
        assert _ask_with_tls(service, port, ca).server


@pytest.mark.parametrize("service", SERVERS)
@pytest.mark.parametrize(
    ("name", "days", "trusted", "message"),
    [
        (NAME, 30, False, "is signed by a CA that {part}_ca doesn't hold"),
        ("other.example.com", 30, True, f"is not valid for '{NAME}'"),
        (NAME, -1, True, "its certificate has expired"),
    ],
    ids=["CA", "name", "expired"],
)
def test_an_untrusted_server_is_reported_with_the_reason(
    service: str,
    name: str,
    days: int,
    trusted: bool,
    message: str,
    authority: Authority,
    tmp_path: Path,
) -> None:
    handler, password, answer = SERVERS[service]
    ca = (authority if trusted else Authority.new("Another")).save(tmp_path / "ca.pem")
    tls = _tls(authority, tmp_path, name, days)
    with serving(handler, password, answer, tls) as port, pytest.raises(Unreachable) as error:
        _ask_with_tls(service, port, ca)
    part = "redis" if service == "redis" else "database"
    assert message.format(part=part) in str(error.value)
    assert "\n" not in str(error.value)


# Without Redis: redis-py waits as long as a server without TLS is silent.
@pytest.mark.parametrize("service", ["postgresql", "mysql"])
def test_a_server_without_tls_is_refused(
    service: str, authority: Authority, tmp_path: Path
) -> None:
    handler, password, answer = SERVERS[service]
    ca = authority.save(tmp_path / "ca.pem")
    with serving(handler, password, answer) as port, pytest.raises(Unreachable) as error:
        _ask_with_tls(service, port, ca)
    assert "TLS" in str(error.value) or "SSL" in str(error.value)


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        ("PostgreSQL", "10.23"),
        ("PostgreSQL", "9.6.24 (Debian)"),
        ("MySQL", "5.6.51-log"),
        ("MariaDB", "10.1.48-MariaDB"),
        ("Redis", "2.8.24"),
    ],
)
def test_too_old_a_version_is_reported_with_the_needed_one(kind: str, version: str) -> None:
    with pytest.raises(Unreachable, match=rf"^found {kind} .*, needed [0-9.]+ or newer$"):
        probes.check_version(kind, version)


@pytest.mark.parametrize(
    ("kind", "version"),
    [("PostgreSQL", "17.2"), ("PostgreSQL", "18beta1"), ("MySQL", "5.7.44"), ("Redis", "3.2.13"),
     ("MariaDB", "11.8.3-MariaDB-1"), ("MySQL", "8.0.36")],
)  # fmt: skip
def test_new_enough(kind: str, version: str) -> None:
    assert probes.check_version(kind, version) == f"{kind} {version}"


def test_role_that_may_not_create_tables_is_reported_with_the_remedy() -> None:
    with serving(PostgreSQL, PASSWORD, "0") as port, pytest.raises(Unreachable) as error:
        _ask("postgresql", port)
    assert "ALTER DATABASE quay OWNER TO quay" in str(error.value)


def test_old_redis_is_refused() -> None:
    with (
        serving(Redis, REDIS_PASSWORD, "2.8.24") as port,
        pytest.raises(Unreachable, match=r"found Redis 2\.8\.24, needed 3\.2 or newer"),
    ):
        _ask("redis", port)
