"""What the administrator of an external database creates, depending on what exists."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from quaylab.clients import database_administrator, mysql_administration, postgresql_administration
from quaylab.clients.mysql_administration import ServerState as MySQLState
from quaylab.clients.postgresql_administration import ServerState as PostgreSQLState
from quaylab.clients.probes import Unreachable
from quaylab.problems import Refusal
from tests.unit.samples import settings

# As for an administrator at Amazon or Google, who is not a superuser. Nothing of Quay's exists yet.
EMPTY = PostgreSQLState(
    makes_roles=True,
    makes_databases=True,
    superuser=False,
    role=False,
    logs_in=False,
    member=False,
    owner=None,
    others=0,
    trigram_available=True,
    trigram=False,
)
DONE: dict[str, Any] = {"role": True, "logs_in": True, "owner": "quay", "trigram": True}


def _postgresql(**changes: Any) -> list[tuple[str | None, str]]:
    found = dataclasses.replace(EMPTY, **changes)
    made = postgresql_administration.steps(found, settings(), "provider", "SCRAM-SHA-256$verifier")
    return [(step.database, step.statement) for step in made]


MAKE_ROLE = ("postgres", "CREATE ROLE \"quay\" LOGIN PASSWORD 'SCRAM-SHA-256$verifier'")
SET_PASSWORD = ("postgres", "ALTER ROLE \"quay\" LOGIN PASSWORD 'SCRAM-SHA-256$verifier'")
ACT_AS = ("postgres", 'GRANT "quay" TO CURRENT_USER')
MAKE_DATABASE = ("postgres", 'CREATE DATABASE "quay" OWNER "quay"')
GIVE_DATABASE = ("postgres", 'ALTER DATABASE "quay" OWNER TO "quay"')
TRIGRAM = ("quay", "CREATE EXTENSION IF NOT EXISTS pg_trgm")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [MAKE_ROLE, ACT_AS, MAKE_DATABASE, TRIGRAM]),
        ({"superuser": True, "member": True}, [MAKE_ROLE, MAKE_DATABASE, TRIGRAM]),
        ({"role": True}, [SET_PASSWORD, ACT_AS, MAKE_DATABASE, TRIGRAM]),
        ({"role": True, "logs_in": True}, [ACT_AS, MAKE_DATABASE, TRIGRAM]),
        # A provider's console makes a database that belongs to the administrator.
        ({"owner": "provider"}, [MAKE_ROLE, ACT_AS, GIVE_DATABASE, TRIGRAM]),
        (DONE | {"trigram": False}, [TRIGRAM]),
        (DONE | {"logs_in": False}, [SET_PASSWORD]),
        (DONE, []),
    ],
)
def test_postgresql(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert _postgresql(**changes) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trigram_available": False}, "the server has no pg_trgm"),
        ({"owner": "app", "others": 7}, "holds 7 tables of others; set database_name"),
        ({"makes_roles": False}, "provider may not make roles"),
        ({"makes_databases": False}, "provider may not make databases"),
    ],
)
def test_what_cannot_be_created_is_reported(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Unreachable, match=message):
        _postgresql(**changes)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            MySQLState(role=False, logs_in=False, enters=False, character_set=None),
            [
                "CREATE USER 'quay'@'%' IDENTIFIED BY 'p'",
                "CREATE DATABASE `quay_db` CHARACTER SET latin1",
                r"GRANT ALL ON `quay\_db`.* TO 'quay'@'%'",
            ],
        ),
        (
            MySQLState(role=True, logs_in=False, enters=False, character_set="latin1"),
            [
                "ALTER USER 'quay'@'%' IDENTIFIED BY 'p'",
                r"GRANT ALL ON `quay\_db`.* TO 'quay'@'%'",
            ],
        ),
        (
            MySQLState(role=True, logs_in=True, enters=True, character_set="utf8mb4"),
            ["ALTER DATABASE `quay_db` CHARACTER SET latin1"],
        ),
        (
            MySQLState(role=True, logs_in=True, enters=True, character_set="latin1"),
            [],
        ),
    ],
)
def test_mysql(found: MySQLState, expected: list[str]) -> None:
    made = mysql_administration.steps(found, settings(database_name="quay_db"), "'p'")
    assert [step.statement for step in made] == expected


def test_a_step_does_not_show_its_statement() -> None:
    (step, *_) = postgresql_administration.steps(EMPTY, settings(), "provider", "verifier")
    assert "verifier" not in repr(step)
    assert "make the role quay" in repr(step)


def test_password_comes_from_the_environment_or_a_terminal() -> None:
    given = database_administrator.password({database_administrator.VARIABLE: "from there"}, None)
    assert given.get_secret_value() == "from there"
    asked = database_administrator.password({}, lambda question: f"answer to {question[:8]}")
    assert asked.get_secret_value() == "answer to password"
    assert "from there" not in repr(given)


def test_a_missing_password_is_refused_with_its_variable() -> None:
    with pytest.raises(Refusal, match=r"database_admin: .* QUAYLAB_DATABASE_ADMIN_PASSWORD"):
        database_administrator.password({}, None)
