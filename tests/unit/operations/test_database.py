"""Quay's database: the extension, the rights, the character set."""

from __future__ import annotations

import pytest

from facts.database import Database, DatabaseState, Extension
from operations import database
from quaylab import plan
from quaylab.credentials import Store
from quaylab.machine import Volume
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost
from tests.unit.samples import host, machine
from tests.unit.shell import Shell

AVAILABLE, INSTALLED = Extension("1.6", None), Extension("1.6", "1.6")


@pytest.fixture
def mysql_lab(store: Store) -> Plan:
    name = "quay.example.com"
    return plan.make([host(name, database_engine="mysql")], {name: machine()}, store)


def _postgresql(trigram: Extension | None, superuser: bool | None = False) -> DatabaseState:
    extensions = {"pg_trgm": trigram} if trigram else {}
    return DatabaseState("15.4", "UTF8", extensions, superuser)


def _prepare(lab: Plan, state: DatabaseState | None) -> tuple[list[str], list[str]]:
    target = FakeHost({Database: state})
    return target.shell(database.prepared, plan=lab), target.noops


def test_extension_is_created(lab: Plan) -> None:
    for state in (None, _postgresql(AVAILABLE)):
        ((command,), _) = _prepare(lab, state)
        assert "CREATE EXTENSION IF NOT EXISTS pg_trgm" in command
        assert "--dbname=quay" in command


def test_planning_does_not_guess_at_a_database_that_is_down(store: Store) -> None:
    name = "quay.example.com"
    bearing = machine(volumes=(Volume("quaylab-database", {}),))
    target = FakeHost({Database: None}, name)
    target.executing = False
    lab = plan.make([host(name)], {name: bearing}, store)
    assert target.shell(database.prepared, plan=lab) == []
    assert target.noops == ["asked when the run has brought the database up"]


def test_installed_extension_is_left_alone(lab: Plan) -> None:
    assert _prepare(lab, _postgresql(INSTALLED)) == ([], ["pg_trgm 1.6 is installed"])


def test_superusers_rights_are_taken(lab: Plan) -> None:
    ((command,), _) = _prepare(lab, _postgresql(INSTALLED, superuser=True))
    assert 'ALTER ROLE "quay" NOSUPERUSER' in command


def test_an_image_without_the_extension_is_told(lab: Plan, shell: Shell) -> None:
    (commands, _) = _prepare(lab, _postgresql(None))
    done = shell.run(commands[0])
    assert done.returncode == 1
    assert "has no pg_trgm" in done.stderr
    assert "postgresql_image" in done.stderr


@pytest.mark.parametrize("charset", ["utf8mb4", None])
def test_mysql_becomes_latin1(mysql_lab: Plan, charset: str | None) -> None:
    state = DatabaseState("8.0.36", charset, {}, None) if charset else None
    ((command,), _) = _prepare(mysql_lab, state)
    assert "ALTER DATABASE quay CHARACTER SET latin1" in command


def test_mysql_with_latin1_is_left_alone(mysql_lab: Plan) -> None:
    state = DatabaseState("8.0.36", "latin1", {}, None)
    assert _prepare(mysql_lab, state) == ([], ["the character set is latin1"])
