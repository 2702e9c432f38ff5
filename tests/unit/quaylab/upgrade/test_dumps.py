"""Dumps: whether a new one is needed, and which one is restored."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from quaylab.problems import Refusal
from quaylab.upgrade import dumps
from quaylab.upgrade.dumps import Dump, DumpsState, Upgrade
from tests.unit.shell import Shell

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
FINGERPRINT = "0123456789abcdef-c0ffee00"
UPGRADE = Upgrade("v3.16.5", "v3.18.0", "postgresql", FINGERPRINT)
CREDENTIALS_PATH = "credentials/quaylab.yaml"


def _dump(hours_ago: int = 0, **changes: Any) -> Dump:
    time = NOW.timestamp() - hours_ago * 3600
    return Dump.model_validate(
        {
            "name": UPGRADE.name(time),
            "before": UPGRADE.before,
            "after": UPGRADE.after,
            "engine": UPGRADE.engine,
            "credentials": FINGERPRINT,
            "revision": "316",
            "time": datetime.fromtimestamp(time, timezone.utc).isoformat(),
            "tables": 9,
            "rows": 100,
            "size": 20000,
            "sha256": "0" * 64,
            **changes,
        }
    )


def _state(
    *found: Dump, revision: str | None = "316", size: int = 100, free: int = 200
) -> DumpsState:
    return DumpsState(found, revision, size, free, NOW.timestamp())


def test_name_has_versions_and_time() -> None:
    assert UPGRADE.name(NOW.timestamp()) == "v3.16.5-to-v3.18.0-20260131T120000Z"
    unknown = Upgrade(None, "v3.18.0", "postgresql", FINGERPRINT)
    assert unknown.name(NOW.timestamp()).startswith("unknown-to-v3.18.0-")


def test_dump_of_a_killed_run_is_used() -> None:
    assert UPGRADE.existing_dump(_state(_dump())) == _dump()


def test_old_dump_is_not_used_because_of_later_pushes() -> None:
    assert UPGRADE.existing_dump(_state(_dump(hours_ago=2))) is None


def test_a_fresh_dump_from_before_a_restore_is_not_used() -> None:
    """What was pushed since is not in it. Once the migration has begun, the time is that of the
    note of its beginning."""
    restored = replace(UPGRADE, since=NOW.timestamp() + 60)
    state = replace(_state(_dump()), now=NOW.timestamp() + 120)
    assert restored.existing_dump(state) is None
    assert replace(restored, has_begun=True).existing_dump(state) == _dump()
    assert replace(UPGRADE, since=NOW.timestamp() - 60).existing_dump(state) == _dump()


def test_old_dump_is_used_if_a_migration_has_begun_since() -> None:
    old = _dump(hours_ago=2)
    assert UPGRADE.existing_dump(_state(old, revision="317")) == old


def test_old_dump_is_used_if_a_note_says_that_the_migration_has_begun() -> None:
    """It commits rows before its revision, and MySQL each change of a table."""
    old = _dump(hours_ago=2)
    assert replace(UPGRADE, has_begun=True).existing_dump(_state(old)) == old


def test_a_database_that_does_not_answer_is_no_sign_of_a_migration() -> None:
    assert UPGRADE.existing_dump(_state(_dump(hours_ago=2), revision=None)) is None


def test_newest_dump_is_used() -> None:
    older, newer = _dump(hours_ago=3), _dump(hours_ago=2)
    assert UPGRADE.existing_dump(_state(older, newer, revision="317")) == newer


@pytest.mark.parametrize(
    "change",
    [{"before": "v3.17.4"}, {"after": "v3.17.4"}, {"engine": "mysql"}, {"credentials": "other"}],
    ids=str,
)
def test_dump_for_another_upgrade_is_not_used(change: dict[str, Any]) -> None:
    assert UPGRADE.existing_dump(_state(_dump(**change))) is None


@pytest.mark.parametrize(
    ("engine", "free", "message"),
    [
        ("postgresql", 200, None),
        ("postgresql", 199, "need 200 bytes, found are 199"),
        ("mysql", 300, None),
        ("mysql", 299, "need 300 bytes, found are 299"),
    ],
)
def test_space(engine: str, free: int, message: str | None) -> None:
    problem = _state(free=free).space_problem(engine)
    assert (problem is None) is (message is None)
    assert message is None or (problem and message in problem)


def test_space_on_the_disks_to_which_the_scratch_copy_is_replicated() -> None:
    small, down = replace(_state(), data_free=150), replace(_state(free=0), data_free=None)
    problem = _state().space_problem("postgresql", [_state(), small, down])
    assert problem
    assert "need 200 bytes, found are 150" in problem
    assert _state().space_problem("postgresql", [_state(), down]) is None


@pytest.mark.parametrize(
    ("dump", "free", "message"),
    [
        ({"database_size": 1000}, [1000, None], None),
        ({"database_size": 1000}, [1500, 999], "needs 1000 bytes on the database's disk, found"),
        ({"database_size": 1000, "engine": "mysql"}, [1999], "needs 2000 bytes"),
        # An older dump: as much as the present database.
        ({}, [99], "needs 100 bytes"),
        ({}, [100], None),
        # The database has been lost.
        ({"database_size": 1000}, [None], None),
    ],
    ids=str,
)
def test_space_for_a_restore(
    dump: dict[str, Any], free: list[int | None], message: str | None
) -> None:
    states = [replace(_state(), data_free=each) for each in free]
    problem = dumps.restore_space_problem(_dump(**dump), states)
    assert (problem is None) is (message is None)
    assert message is None or (problem and message in problem)


@pytest.mark.parametrize(("use", "is_logged"), [("", True), ("temporary", False)])
@pytest.mark.parametrize("may", [True, False])
def test_mysql_does_not_log_a_temporary_copy_if_its_administrator_may_say_so(
    shell: Shell, use: str, is_logged: bool, may: bool
) -> None:
    shell.stub("mysql", "" if may else 'case "$*" in *execute=SET*) exit 1 ;; esac')
    script = shlex.quote(dumps.script("mysql"))
    done = shell.run(f"bash -c {script} quaylab load scratch quay quay {use}", stdin="")
    assert done.returncode == 0
    *_, create, load = shell.calls
    expected = "DO 0" if is_logged or not may else "SET SESSION sql_log_bin = 0"
    assert f"--init-command={expected} --execute=CREATE DATABASE" in create
    assert f"--init-command={expected} --database=scratch" in load


# --- the choice of a dump to restore ---


def _choose(name: str | None, *found: Dump, **changes: str) -> Dump:
    known = {
        "engine": "postgresql",
        "credentials": FINGERPRINT,
        "credentials_path": CREDENTIALS_PATH,
        **changes,
    }
    return dumps.choose(found, name, **known)


def _refused(name: str | None, *found: Dump, **changes: str) -> str:
    with pytest.raises(Refusal) as refused:
        _choose(name, *found, **changes)
    (problem,) = refused.value.problems
    return problem


def test_newest_is_restored_unless_one_is_named() -> None:
    older, newer = _dump(hours_ago=2), _dump()
    assert _choose(None, newer, older) == newer
    assert _choose(older.name, newer, older) == older


def test_unknown_name_lists_the_existing_dumps() -> None:
    older, newer = _dump(hours_ago=2), _dump(before=None)
    problem = _refused("v3.1.0", older, newer)
    assert problem.startswith("restore: there is no dump v3.1.0; in /var/lib/quaylab/dumps are:")
    assert problem.splitlines()[1:] == [
        f"    {newer.name} (an unknown version, 20000 bytes)",
        f"    {older.name} (v3.16.5, 20000 bytes)",
    ]


def test_without_any_dump() -> None:
    assert _refused(None) == "restore: there is no dump in /var/lib/quaylab/dumps"


def test_dump_of_other_credentials_is_refused() -> None:
    problem = _refused(None, _dump(), credentials="fedcba9876543210")
    assert f"belongs to the credentials {FINGERPRINT}" in problem
    assert f"{CREDENTIALS_PATH} holds fedcba9876543210" in problem


def test_dump_of_another_engine_is_refused() -> None:
    assert _refused(None, _dump(), engine="mysql").startswith("database_engine: ")


@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
@pytest.mark.parametrize("verb", ["dump", "load", "rows", "swap", "drop"])
def test_each_engine_has_every_verb(engine: str, verb: str) -> None:
    assert f"\n{verb}() {{" in dumps.script(engine)
