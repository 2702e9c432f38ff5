"""The database in its container."""

from __future__ import annotations

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.database import Database, DatabaseState
from tests.unit.shell import Shell

# As PostgreSQL 17 writes JSON, with three of its extensions.
POSTGRESQL = (
    '{"character_set" : "UTF8", "role_superuser" : false, '
    '"extensions" : { "citext" : null, "plpgsql" : "1.0", "pg_trgm" : "1.6" }}'
)
ARGUMENTS = {"container": "quaylab-database", "database": "quay", "user": "quay"}


def test_postgresql() -> None:
    state = Database().process([POSTGRESQL])
    assert state
    assert (state.character_set, state.role_superuser) == ("UTF8", False)
    assert state.extensions == {"citext": None, "plpgsql": "1.0", "pg_trgm": "1.6"}


@pytest.mark.parametrize(
    ("collations", "has_collation_mismatch"),
    [
        ('["2.28", "2.34"]', True),
        ('["2.34", "2.34"]', False),
        # Of the locale C, and of a database that an older PostgreSQL has made.
        ("[null, null]", False),
        ('[null, "2.34"]', False),
        ('["2.28", null]', False),
    ],
)
def test_a_change_of_the_sort_order(collations: str, has_collation_mismatch: bool) -> None:
    state = Database().process([POSTGRESQL, f'{{"collations" : {collations}}}'])
    assert state
    assert state.has_collation_mismatch is has_collation_mismatch
    assert state.character_set == "UTF8"


def test_before_postgresql_15_no_sort_order_is_known() -> None:
    state = Database().process([POSTGRESQL])
    assert state
    assert not state.has_collation_mismatch


def test_mysql() -> None:
    lines = ['{"character_set": "latin1"}']
    assert Database().process(lines) == DatabaseState("latin1", {}, None)


def test_no_answer() -> None:
    assert Database().process([""]) is None


def test_an_unexpected_answer_is_an_error() -> None:
    with pytest.raises(FactProcessError, match="the database's answer can't be read"):
        Database().process(["FATAL: the database system is starting up"])


@pytest.mark.parametrize(
    ("engine", "client"),
    [
        ("postgresql", "PGUSER=$POSTGRESQL_USER PGPASSWORD=$POSTGRESQL_PASSWORD psql "),
        ("mysql", "mysql --user=root "),
    ],
)
def test_it_is_asked_inside_its_container(shell: Shell, engine: str, client: str) -> None:
    shell.stub("docker", "exit 1")
    assert shell.lines(Database().command(engine=engine, **ARGUMENTS)) == []
    call, *_ = shell.calls  # the question has several lines
    assert call.startswith("docker exec quaylab-database bash -c ")
    assert client in call
