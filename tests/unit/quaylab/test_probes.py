"""Asking database and Redis with exactly Quay's own credentials."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import psycopg2.extensions
import pytest

from quaylab import probes, sql
from quaylab.probes import Answer, Unreachable
from tests.unit.quaylab.small_servers import Handler, MySQL, PostgreSQL, Redis, Silent, serving
from tests.unit.samples import CREDENTIALS, SECRETS, settings

PASSWORD = CREDENTIALS.database_password.get_secret_value()
REDIS_PASSWORD = CREDENTIALS.redis_password.get_secret_value()


@pytest.fixture(autouse=True)
def _own_waiting() -> Iterator[None]:
    yield
    psycopg2.extensions.set_wait_callback(None)


def _ask(service: str, port: int) -> Answer:
    if service == "redis":
        return probes.redis_server(settings(), CREDENTIALS, "127.0.0.1", port)
    return probes.database(settings(database_engine=service), CREDENTIALS, "127.0.0.1", port)


@pytest.mark.parametrize(
    ("service", "handler", "password", "answer", "version"),
    [
        ("redis", Redis, REDIS_PASSWORD, "7.2.4", "7.2.4"),
        ("postgresql", PostgreSQL, PASSWORD, "1", "15.4"),
        ("mysql", MySQL, PASSWORD, "latin1", "8.0.36"),
    ],
    ids=["redis", "postgresql", "mysql"],
)
def test_a_service_that_answers(
    service: str, handler: type[Handler], password: str, answer: str, version: str
) -> None:
    with serving(handler, password, answer) as port:
        found = _ask(service, port)
    assert found.version == version
    assert 0 < found.milliseconds < 10_000


@pytest.mark.parametrize(
    ("service", "handler", "told"),
    [
        ("redis", Redis, "invalid username-password pair"),
        ("postgresql", PostgreSQL, "password authentication failed"),
        ("mysql", MySQL, "Access denied"),
    ],
    ids=["redis", "postgresql", "mysql"],
)
def test_wrong_password_is_told_in_one_line_without_it(
    service: str, handler: type[Handler], told: str
) -> None:
    with serving(handler, "another-password") as port, pytest.raises(Unreachable) as error:
        _ask(service, port)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert not [secret for secret in SECRETS if secret in str(error.value)]


@pytest.mark.parametrize("service", ["redis", "postgresql", "mysql"])
def test_nobody_there(service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        _ask(service, port)


# libpq takes whole seconds.
@pytest.mark.parametrize(("service", "bound"), [("redis", 0.1), ("postgresql", 1), ("mysql", 0.1)])
def test_silence_is_not_waited_for_without_end(
    service: str, bound: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "TIMEOUT", bound)
    with serving(Silent) as port, pytest.raises(Unreachable):
        _ask(service, port)


def test_missing_extension_is_told_with_its_remedy() -> None:
    with serving(PostgreSQL, PASSWORD, None) as port, pytest.raises(Unreachable) as error:
        _ask("postgresql", port)
    assert "pg_trgm is missing" in str(error.value)
    assert "CREATE EXTENSION pg_trgm" in str(error.value)


def test_wrong_character_set_is_told_with_its_remedy() -> None:
    with serving(MySQL, PASSWORD, "utf8mb4") as port, pytest.raises(Unreachable) as error:
        _ask("mysql", port)
    assert "character set is utf8mb4" in str(error.value)
    assert "ALTER DATABASE quay CHARACTER SET latin1" in str(error.value)
