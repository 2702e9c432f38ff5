"""Dumps: made and checked before a migration, and restored."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.exceptions import DeployError
from pyinfra.context import ctx_inventory

from facts.dumps import Dumps
from operations.services import dumps
from quaylab import plan
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import CREDENTIALS_LABEL
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.upgrade.dumps import Dump, DumpsState
from tests.unit.fake_host import FakeHost
from tests.unit.quaylab.upgrade.test_dumps import NOW, UPGRADE
from tests.unit.samples import CREDENTIALS, host, machine
from tests.unit.shell import Shell

NAME = "quay.example.com"
DUMP = UPGRADE.name(NOW.timestamp())
# A stub of the engine's script: it dumps, loads and counts a database of two tables.
ENGINE = r"""
case "$*" in
  *' quaylab dump '*) echo content; printf 'rows tag 7\nrows account 2\nNOTICE: x\n' >&2 ;;
  *' quaylab load '*) grep -q content ;;
  *' quaylab rows '*) printf 'rows account 2\nrows tag 7\n' ;;
esac
"""


@pytest.fixture
def upgrading(store: Store) -> Plan:
    """The plan for a host whose database has the schema of v3.16.5."""
    found = machine(schema=UPGRADE.before, volumes=(Volume("quaylab-database", {}),))
    return plan.make([host(NAME)], {NAME: found}, store)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dumps' directory and the script, in a temporary directory."""
    folder = tmp_path / "dumps"
    script = tmp_path / "script"
    script.write_text("script")
    monkeypatch.setattr(dumps, "SCRIPT", str(script))
    monkeypatch.setattr(dumps, "LOCKED", dumps.LOCKED.replace(dumps.DIRECTORY, str(folder)))
    return folder


def _state(*found: Dump, **changes: Any) -> DumpsState:
    values = {"revision": "316", "size": 100, "free": 1000, **changes}
    return DumpsState(dumps=found, now=NOW.timestamp(), **values)


def _taken(lab: Plan, state: DumpsState, name: str = NAME) -> tuple[list[str], list[str]]:
    target = FakeHost({Dumps: state}, name)
    with _inventory(target):
        return target.shell(dumps.taken, plan=lab), target.noops


def _inventory(*targets: FakeHost) -> AbstractContextManager[None]:
    """Have operations find other hosts by their names."""
    found = {target.name: target for target in targets}
    use: AbstractContextManager[None] = ctx_inventory.use(SimpleNamespace(get_host=found.get))
    return use


def _made(lab: Plan, state: DumpsState) -> list[str]:
    target = FakeHost({Dumps: state}, NAME)
    with _inventory(target):
        return target.shell(dumps.made, plan=lab)


def _signed(folder: Path) -> Dump:
    (file,) = folder.glob("*.json")
    return Dump.model_validate({"name": file.stem, **json.loads(file.read_text())})


# --- made, by a real shell ---


def test_dump_is_checked_and_signed(upgrading: Plan, folder: Path, shell: Shell) -> None:
    shell.stub("docker", ENGINE)
    folder.mkdir()
    for leftover in ("old.json.new", "old.dump.new"):
        (folder / leftover).touch()
    # An operator's own.
    (folder / "quay.dump").touch(mode=0o600)
    (_, *commands), _ = _taken(upgrading, _state())
    for command in commands:
        done = shell.run(command)
        assert done.returncode == 0, done.stderr
    signed = _signed(folder)
    assert (signed.name, signed.before, signed.after) == (DUMP, "v3.16.5", "v3.18.0")
    assert (signed.tables, signed.rows, signed.size) == (2, 9, len("content\n"))
    assert signed.credentials == CREDENTIALS.fingerprint
    assert signed.database_size == 100
    left = {f"{DUMP}.dump", f"{DUMP}.json", "lock", "quay.dump"}
    assert {path.name for path in folder.iterdir()} == left
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("*' quaylab dump '*) echo no space >&2; exit 1 ;;", "no space"),
        ("*' quaylab load '*) echo cut off >&2; exit 1 ;;", "cut off"),
        ("*' quaylab rows '*) echo rows account 2 ;;", "does not restore to what was dumped"),
    ],
    ids=["dump", "load", "rows"],
)
def test_a_dump_that_fails_or_differs_is_not_used(
    upgrading: Plan, folder: Path, shell: Shell, broken: str, message: str
) -> None:
    shell.stub("docker", ENGINE.replace('case "$*" in', f'case "$*" in {broken}'))
    failed = None
    for command in _taken(upgrading, _state())[0][1:]:
        failed = shell.run(command)
        if failed.returncode:
            break
    assert failed
    assert failed.returncode
    assert message in failed.stderr
    assert not list(folder.glob("*.json"))


def test_no_password_is_in_a_command(upgrading: Plan) -> None:
    commands, _ = _taken(upgrading, _state())
    password = upgrading.credentials.database_password.get_secret_value()
    assert not [command for command in commands if password in command]


def test_empty_database_is_not_dumped(upgrading: Plan) -> None:
    assert _taken(upgrading, _state(revision=None)) == ([], ["the database is empty"])


def test_dump_of_a_killed_run_is_used(upgrading: Plan) -> None:
    there = _dump(upgrading)
    assert _taken(upgrading, _state(there)) == ([], [f"dumped and checked: {there}"])


@pytest.mark.parametrize("there", [True, False])
def test_no_dump_is_made_once_the_migration_has_begun(store: Store, there: bool) -> None:
    """It would be of a half-changed schema, and newer than the right one."""
    schema = f"migrating {UPGRADE.before} to {UPGRADE.after}"
    found = machine(schema=schema, volumes=(Volume("quaylab-database", {}),))
    lab = plan.make([host(NAME)], {NAME: found}, store)
    old = _dump(lab, time="2026-01-30T12:00:00+00:00")
    commands, (noop,) = _taken(lab, _state(*[old] * there))
    assert commands == []
    expected = "dumped and checked: v3.16.5-to-v3.18.0-" if there else "its dump is not here"
    assert expected in noop


def test_without_an_upgrade_no_fact_is_read(store: Store) -> None:
    found = machine(schema="v3.18.0", volumes=(Volume("quaylab-database", {}),))
    target = FakeHost(name=NAME)
    lab = plan.make([host(NAME)], {NAME: found}, store)
    assert target.shell(dumps.taken, plan=lab) == []
    assert target.noops == ["the schema stays as it is"]
    assert target.asked == []


def test_other_hosts_make_no_dump(upgrading: Plan) -> None:
    other = "other.example.com"
    assert _taken(upgrading, _state(), other) == ([], [f"the database is not on {other}"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (_state(free=199), "need 200 bytes, found are 199"),
        (_state(size=None, revision=None), "the database does not answer"),
    ],
    ids=["no space", "no answer"],
)
def test_a_run_that_can_make_no_dump_ends(
    upgrading: Plan, shell: Shell, state: DumpsState, message: str
) -> None:
    (command,), _ = _taken(upgrading, state)
    done = shell.run(command)
    assert done.returncode == 1
    assert message in done.stderr


# --- made at any time ---


@pytest.fixture
def serving(store: Store) -> Plan:
    """The plan for a host whose database has the schema of its Quay."""
    found = machine(schema="v3.18.0", volumes=(Volume("quaylab-database", {}),))
    return plan.make([host(NAME)], {NAME: found}, store)


def test_a_dump_is_made_although_another_one_is_fresh(
    serving: Plan, folder: Path, shell: Shell
) -> None:
    """It lacks what was pushed meanwhile. Quay may have been stopped for this one."""
    shell.stub("docker", ENGINE)
    folder.mkdir()
    fresh = _dump(serving, after="v3.18.0")
    _, *commands = _made(serving, _state(fresh))
    for command in commands:
        done = shell.run(command)
        assert done.returncode == 0, done.stderr
    signed = _signed(folder)
    assert signed.name == DUMP.replace("v3.16.5-to-", "")
    assert (signed.before, signed.after, signed.rows) == ("v3.18.0", "v3.18.0", 9)


def test_it_is_no_upgrades_dump(serving: Plan) -> None:
    """An upgrade makes its own."""
    made = _dump(serving, before="v3.18.0", after="v3.18.0")
    assert UPGRADE.existing_dump(_state(made)) is None


def test_other_hosts_dump_nothing(serving: Plan) -> None:
    target = FakeHost(name="other.example.com")
    assert target.shell(dumps.made, plan=serving) == []
    assert target.noops == ["the database is not on other.example.com"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (_state(free=199), "need 200 bytes, found are 199"),
        (_state(size=None, revision=None), "the database does not answer, or is empty"),
    ],
)
def test_a_dump_that_cannot_be_made(
    serving: Plan, shell: Shell, state: DumpsState, message: str
) -> None:
    assert _failure(serving, shell, state, message)


def test_a_database_between_two_versions_is_not_dumped(serving: Plan, shell: Shell) -> None:
    """A killed run's migration went on, and the note is still the old one."""
    before = _dump(serving, before="v3.18.0", after="v3.19.0", revision="another")
    message = "an upgrade from v3.18.0 has begun to change the schema"
    assert _failure(serving, shell, _state(before), message)


def _failure(serving: Plan, shell: Shell, state: DumpsState, message: str) -> bool:
    (command,) = _made(serving, state)
    done = shell.run(command)
    return done.returncode == 1 and message in done.stderr


def _refused(lab: Plan, **changes: Any) -> str:
    machines = {name: replace(found, **changes) for name, found in lab.machines.items()}
    with pytest.raises(DeployError) as refused:
        dumps.refuse_unfit(replace(lab, machines=machines))
    return str(refused.value)


def test_what_is_not_dumped(serving: Plan, store: Store) -> None:
    dumps.refuse_unfit(serving)
    # As with --limit database.
    assert "the dump's version would be unknown; leave out --limit" in _refused(
        serving, schema=None
    )
    assert "'restoring v3.16.5'" in _refused(serving, schema="restoring v3.16.5")
    labels = {CREDENTIALS_LABEL: "fedcba9876543210-00000000"}
    foreign = (Volume("quaylab-database", labels),)
    assert "fedcba9876543210" in _refused(serving, volumes=foreign)
    with pytest.raises(DeployError, match="database: no host that takes part has it"):
        dumps.refuse_unfit(replace(serving, machines={}))
    elsewhere = host(NAME, ["quay", "redis"], database_host="db.example.com")
    lab = plan.make([elsewhere], {NAME: machine()}, store, ask=lambda _: "password")
    with pytest.raises(DeployError, match="database_host: it runs elsewhere"):
        dumps.refuse_unfit(lab)


# --- restored ---


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        ({"database_backup": "v3.16.5"}, None),
        ({}, "database_backup: the database runs elsewhere"),
        ({"database_backup": "v3.16.5", "restore": DUMP}, "restore: names a dump, and the databa"),
    ],
    ids=["a backup", "neither", "a dump as well"],
)
def test_a_database_elsewhere_has_no_dump_to_restore(
    store: Store, data: dict[str, str], refused: str | None
) -> None:
    elsewhere = host(NAME, ["quay", "redis"], database_host="db.example.com", **data)
    lab = plan.make([elsewhere], {NAME: machine()}, store, ask=lambda _: "password")
    if refused is None:
        assert dumps.choose_dump(lab) == (None, None)
    else:
        with pytest.raises(DeployError, match=refused):
            dumps.choose_dump(lab)


def _dump(lab: Plan, **changes: Any) -> Dump:
    upgrade = lab.upgrade
    return Dump.model_validate(
        {
            "name": DUMP,
            "before": upgrade.before,
            "after": upgrade.after,
            "engine": upgrade.engine,
            "credentials": upgrade.credentials,
            "revision": "316",
            "time": NOW.isoformat(),
            "tables": 2,
            "rows": 9,
            "size": 8,
            "sha256": hashlib.sha256(b"content\n").hexdigest(),
            **changes,
        }
    )


def test_dump_is_loaded_into_another_database_which_then_replaces_it(
    upgrading: Plan, folder: Path, shell: Shell
) -> None:
    shell.stub("docker", ENGINE)
    folder.mkdir()
    (folder / f"{DUMP}.dump").write_text("content\n")
    (folder / f"{DUMP}.json").touch()
    write, *commands = FakeHost(name=NAME).shell(
        dumps.restored, plan=upgrading, place=NAME, dump=_dump(upgrading)
    )
    assert dumps.SCRIPT in write
    for command in commands:
        done = shell.run(command)
        assert done.returncode == 0, done.stderr
    # The arguments of each call of the engine's script.
    ends = [tuple(call.split(" script quaylab ")[1].split(" ", 1)) for call in shell.calls]
    assert ends == [
        ("drop", "quaylab-scratch quaylab-replaced"),
        ("load", "quaylab-scratch quay quay"),
        ("rows", "quaylab-scratch"),
        ("swap", "quaylab-scratch quay quaylab-replaced"),
        ("drop", "quaylab-scratch quaylab-replaced"),
    ]


@pytest.mark.parametrize("changes", [{"rows": 8}, {"tables": 3}], ids=str)
def test_what_is_loaded_is_counted_before_it_replaces_the_database(
    upgrading: Plan, folder: Path, shell: Shell, changes: dict[str, int]
) -> None:
    shell.stub("docker", ENGINE)
    folder.mkdir()
    (folder / f"{DUMP}.dump").write_text("content\n")
    (folder / f"{DUMP}.json").touch()
    dump = _dump(upgrading, **changes)
    _, *commands = FakeHost(name=NAME).shell(dumps.restored, plan=upgrading, place=NAME, dump=dump)
    failed = next(done for done in map(shell.run, commands) if done.returncode)
    assert f"restore: {DUMP} does not restore to the tables and rows" in failed.stderr
    assert not [call for call in shell.calls if " swap " in call]


@pytest.mark.parametrize(("content", "code"), [("content\n", 0), ("cont", 1)])
def test_damaged_dump_is_reported(
    upgrading: Plan, folder: Path, shell: Shell, content: str, code: int
) -> None:
    folder.mkdir()
    (folder / f"{DUMP}.dump").write_text(content)
    (command,) = FakeHost(name=NAME).shell(dumps.intact, place=NAME, dump=_dump(upgrading))
    done = shell.run(command)
    assert done.returncode == code
    assert ("is damaged; nothing was changed" in done.stderr) is bool(code)


@pytest.mark.parametrize("name", ["other.example.com", NAME])
def test_other_hosts_restore_nothing(upgrading: Plan, name: str) -> None:
    dump = None if name == NAME else _dump(upgrading)
    host = FakeHost(name=name)
    assert host.shell(dumps.intact, place=NAME, dump=dump) == []
    assert host.shell(dumps.restored, plan=upgrading, place=NAME, dump=dump) == []
