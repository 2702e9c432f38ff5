"""Dumping and restoring: what is run in Quay's database, as whom, and with which names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from quaylab.paths import ETC
from quaylab.upgrade import dumps
from tests.unit.shell import Shell

PASSWORD = "quay's password"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    path = tmp_path / "environment"
    path.write_text(f'POSTGRESQL_USER=quay\nPOSTGRESQL_PASSWORD="{PASSWORD}"\n')
    return path


def _run(shell: Shell, environment: Path, engine: str, *words: str, stdin: str = "") -> str:
    script = dumps.script(engine).replace(f"{ETC}/environment", str(environment))
    done = subprocess.run(
        ["bash", "-c", script, "quaylab", *words],
        env={"PATH": f"{shell.stubs}:/usr/bin:/bin"},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("dump", "quay"),
        ("load", "quaylab-scratch", "quay", "quay", "temporary"),
        ("rows", "quaylab-scratch"),
        ("swap", "quaylab-scratch", "quay", "quaylab-replaced"),
        ("drop", "quaylab-scratch", "quaylab-replaced"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("comments", ["--no-comments", ""], ids=["newer", "before 11"])
def test_a_session_inside_quays_database_is_quays(
    shell: Shell, environment: Path, words: tuple[str, ...], comments: str
) -> None:
    """A compromised Quay may have put functions there for a superuser to call (CVE-2018-1058)."""
    says = f'echo "as $PGUSER with $PGPASSWORD and $PGOPTIONS: $*" >>{shell.log}'
    shell.stub("psql", f"{says}; cat >/dev/null")
    shell.stub("pg_restore", f'test "$1" != --help || echo "{comments}"; {says}; cat >/dev/null')
    _run(shell, environment, "postgresql", *words)
    sessions = [call for call in shell.calls if call.startswith("as ") and "--dbname" in call]
    assert sessions
    for session in sessions:
        if "--dbname=postgres" in session or "CREATE EXTENSION" in session:
            assert session.startswith("as  with  and -c search_path=pg_catalog: ")
        else:
            assert session.startswith(f"as quay with {PASSWORD} and : ")


def test_the_extension_is_made_before_the_database_is_quays(
    shell: Shell, environment: Path
) -> None:
    shell.stub("psql", f"cat >>{shell.log}")
    shell.stub("pg_restore", "cat >/dev/null")
    _run(shell, environment, "postgresql", "load", "quaylab-scratch", "quay", "quay")
    text = shell.log.read_text()
    order = ("CONNECTION LIMIT 0", "CREATE EXTENSION pg_trgm", "OWNER TO", "CONNECTION LIMIT -1")
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert " OWNER %I" not in text


def test_names_of_mysqls_tables_are_quoted(shell: Shell, environment: Path) -> None:
    """Quay's account may make a table `';GRANT ALL ON *.* TO quay;-- x`."""
    shell.stub("mysql", "")
    for words in (("rows", "quaylab-scratch"), ("swap", "quaylab-scratch", "quay", "replaced")):
        _run(shell, environment, "mysql", *words)
    asked = " ".join(shell.calls)
    assert "QUOTE(table_name)" in asked
    quoted = "CONCAT('`', REPLACE(table_name, '`', '``'), '`')"
    assert asked.count(quoted) == 3
    rest = asked.replace(quoted, "").replace("QUOTE(table_name)", "")
    assert "table_name" not in rest
