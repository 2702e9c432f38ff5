"""The dumps on the database's host."""

from __future__ import annotations

import json

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.dumps import Dumps
from tests.unit.shell import Shell

DESCRIPTION = {
    "before": "v3.16.5",
    "after": "v3.18.0",
    "engine": "postgresql",
    "credentials": "0123456789abcdef-c0ffee00",
    "revision": "316a00c0ffee",
    "time": "2026-01-31T12:00:00+00:00",
    "tables": 9,
    "rows": 100,
    "size": 20000,
    "sha256": "0" * 64,
}
ARGUMENTS = {"container": "quaylab-database", "database": "quay", "data": "/var/lib/pgsql/data"}


def test_host_with_a_dump() -> None:
    found = Dumps().process(
        [
            "now 1769860800",
            "free 5000",
            "data_free 3000",
            "size 1000",
            "revision 316a00c0ffee",
            f"dump v3.16.5-to-v3.18.0-1 {json.dumps(DESCRIPTION)}",
        ]
    )
    (dump,) = found.dumps
    assert (dump.name, dump.file) == ("v3.16.5-to-v3.18.0-1", "v3.16.5-to-v3.18.0-1.dump")
    assert (dump.before, dump.tables, dump.size) == ("v3.16.5", 9, 20000)
    assert (found.revision, found.size, found.free) == ("316a00c0ffee", 1000, 3000)
    assert found.data_free == 3000


def test_database_without_a_schema() -> None:
    found = Dumps().process(["now 1769860800", "free 5000", "size 1000"])
    assert (found.dumps, found.revision, found.size) == ((), None, 1000)
    assert (found.free, found.data_free) == (5000, None)


@pytest.mark.parametrize("description", ["{", "{}", ""], ids=["cut off", "another", "empty"])
def test_damaged_description_is_an_error(description: str) -> None:
    with pytest.raises(FactProcessError, match="/var/lib/quaylab/dumps can't be read"):
        Dumps().process([f"dump v3.16.5-to-v3.18.0-1 {description}"])


@pytest.mark.parametrize(
    ("engine", "client"),
    [
        ("postgresql", "PGUSER=$POSTGRESQL_USER PGPASSWORD=$POSTGRESQL_PASSWORD psql "),
        ("mysql", "MYSQL_PWD=$MYSQL_PASSWORD mysql --host=127.0.0.1 --user=$MYSQL_USER "),
    ],
)
def test_quays_role_is_asked_inside_the_container(shell: Shell, engine: str, client: str) -> None:
    """A compromised Quay may have made alembic_version a view that calls its own function."""
    forged = "echo 'dump x;reboot {}'"
    asked = f'case "$*" in *bash*) echo size 5; {forged} ;; *) echo Avail; echo 1 ;; esac'
    shell.stub("docker", asked)
    lines = shell.lines(Dumps().command(engine=engine, **ARGUMENTS))
    assert lines[0].startswith("now ")
    assert {"data_free 1", "size 5"} <= set(lines)
    df, query = shell.calls
    assert "df -B1 --output=avail /var/lib/pgsql/data" in df
    assert query.startswith("docker exec quaylab-database bash -c . /etc/quaylab/environment; ")
    assert client in query
    assert not [line for line in lines if line.startswith("dump ")]
