"""Settings of databases and Redis elsewhere: invalid and valid combinations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from quaylab.services import BY_NAME, SERVICES
from tests.authority import Authority
from tests.unit.samples import settings


def _problems(tmp_path: Path, **changes: Any) -> list[str]:
    ca = Authority.new().save(tmp_path / "ca.pem")
    values = {key: ca if value == "CA" else value for key, value in changes.items()}
    given = settings(**values)
    groups: dict[str, tuple[str, ...]] = {service.name: () for service in SERVICES}
    return [
        problem
        for service in ("database", "redis")
        for problem in BY_NAME[service].setting_problems(given, groups)
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"database_ca": "CA"}, "database_ca: .* database_host isn't set"),
        ({"redis_ca": "CA"}, "redis_ca: .* redis_host isn't set"),
        ({"database_admin": "postgres"}, "database_admin: .* database_host isn't set"),
        ({"database_name": "postgres"}, "database_name: postgres is the server's own"),
        ({"database_user": "postgres"}, "database_user: postgres is the server's own"),
        ({"database_user": "quaylab_rewind"}, "database_user: quaylab_rewind is the server's own"),
        ({"database_user": "pg_quay"}, "database_user: pg_quay is a name that PostgreSQL keeps"),
        (
            {"database_user": "public", "database_host": "db.example.com"},
            "database_user: public is a name that PostgreSQL keeps",
        ),
        (
            {"database_user": "root", "database_engine": "mysql"},
            "database_user: root is the server's own",
        ),
        (
            {"database_user": "q" * 33, "database_engine": "mysql"},
            "database_user: q+ has more than the 32 characters",
        ),
        (
            {"database_host": "db.example.com", "database_admin": "quay"},
            "database_admin: quay is database_user",
        ),
        (
            {"database_host": "10.0.0.9", "database_ca": "CA"},
            "database_host: 10.0.0.9 is an address",
        ),
        (
            {"redis_host": "r.example.com", "redis_ca": "CA", "quay_version": "v2.9.1"},
            "redis_ca: v2.9.1 is given its CAs in the browser",
        ),
    ],
)
def test_invalid_combinations(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (problem,) = _problems(tmp_path, **changes)
    assert re.search(message, problem)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"database_host": "db.example.com", "database_ca": "CA", "database_admin": "postgres"},
        {"database_host": "10.0.0.9", "database_ca": "CA", "database_engine": "mysql"},
        {"redis_host": "10.0.0.9", "redis_ca": "CA"},
    ],
)
def test_valid_combinations(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert _problems(tmp_path, **changes) == []
