"""Which versions a run may migrate a schema to."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab import plan
from quaylab.engines.state import Engine
from quaylab.engines.state import FoundVolume as Volume
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.upgrade import schema_version
from tests.unit import balanced, clustered
from tests.unit.samples import build, host, machine, one_host, settings

QUAY, DATABASE = "quay.example.com", "db.example.com"
VOLUME = "quaylab-database"


def _problems(schema: str | None, version: str, **data: Any) -> list[str]:
    wanted = settings(quay_version=version, **data)
    return list(schema_version.problems(wanted, one_host(), schema, {QUAY}))


@pytest.mark.parametrize(
    ("schema", "version"),
    [
        (None, "v3.18.0"),
        ("v3.18.0", "v3.18.0"),
        ("v3.15.9", "v3.18.0"),
        ("v3.18.0", "v3.18.1"),
        ("v2.9.1", "v2.9.1"),
    ],
    ids=["new", "the same", "three minors", "a patch", "legacy"],
)
def test_steps_that_work(schema: str | None, version: str) -> None:
    assert _problems(schema, version) == []


@pytest.mark.parametrize(
    ("schema", "version", "message"),
    [
        ("v3.18.0", "v3.17.4", "Quay knows no way back to v3.17.4; set v3.18.0, or restore"),
        ("v3.18.1", "v3.18.0", "Quay knows no way back to v3.18.0; set v3.18.1, or restore"),
        ("v3.18.0", "v2.9.1", "Quay knows no way back to v2.9.1"),
        ("v3.14.2", "v3.18.0", "4 minor versions after the database's v3.14.2"),
        ("v3.14.2", "v3.18.0", "set a version of v3.17 first"),
        ("v2.9.1", "v3.18.0", "there is no upgrade from v2.9.1 to v3.18.0 by Quaylab"),
    ],
)
def test_steps_that_do_not_work(schema: str, version: str, message: str) -> None:
    (problem,) = _problems(schema, version)
    assert problem.startswith("quay_version: ")
    assert message in problem


@pytest.mark.parametrize("version", ["v3.16.5", "v3.18.0"])
def test_an_unfinished_restore_must_be_completed_first(version: str) -> None:
    (problem,) = _problems(schema_version.restoring_note("v3.16.5-to-v3.18.0-1"), version)
    assert problem.startswith("restore: restoring v3.16.5-to-v3.18.0-1 has begun")
    assert "tasks/restore_database.py again" in problem
    assert problem.endswith("docs/upgrade.md#keeping-the-present-database")


MIGRATING = schema_version.migrating_note("v3.17.4", "v3.18.0")


def test_an_unfinished_migration_is_finished_by_the_same_version() -> None:
    assert _problems(MIGRATING, "v3.18.0") == []


@pytest.mark.parametrize("version", ["v3.17.4", "v3.17.5", "v3.18.1"])
def test_an_unfinished_migration_is_no_schema_of_another_version(version: str) -> None:
    (problem,) = _problems(MIGRATING, version)
    assert problem.startswith("quay_version: the database's migration from v3.17.4 to v3.18.0 has")
    assert "deploy v3.18.0, which finishes it, or restore" in problem
    assert "tasks/restore_database.py" in problem


@pytest.mark.parametrize(
    "schema",
    ["v3.18.0?", "migrating v3.17.4", "migrating ? to v3.18.0", "3.18", "?", "", "v3.18.0 v3.18.1"],
)
def test_a_note_that_is_not_a_version(schema: str) -> None:
    (problem,) = _problems(schema, "v3.18.0")
    assert problem.startswith(f"/var/lib/quaylab/schema: holds {schema!r} on {QUAY}")


def test_note_is_one_line() -> None:
    assert schema_version.note("v3.18.0").content == "v3.18.0\n"


@pytest.mark.parametrize(
    ("backup", "works"), [(None, False), ("v3.15.1", False), ("v3.16.5", True)], ids=str
)
def test_an_upgrade_with_a_database_elsewhere_needs_a_backup(
    backup: str | None, works: bool
) -> None:
    where = build([host(QUAY, ["quay", "redis"])], database_host=DATABASE)
    wanted = settings(quay_version="v3.18.0", database_host=DATABASE, database_backup=backup)
    found = list(schema_version.problems(wanted, where, "v3.16.5", {QUAY}))
    assert [problem.partition(":")[0] for problem in found] == (
        [] if works else ["database_backup"]
    )
    assert all("then set database_backup to v3.16.5" in problem for problem in found)


def test_the_databases_host_must_take_part() -> None:
    where = build(
        [
            host(QUAY, ["quay", "redis"], address="192.0.2.1"),
            host(DATABASE, ["database"], address="192.0.2.2"),
        ]
    )
    wanted = settings(quay_version="v3.18.0")
    assert list(schema_version.problems(wanted, where, "v3.16.5", {QUAY, DATABASE})) == []
    (problem,) = schema_version.problems(wanted, where, "v3.16.5", {QUAY})
    assert f"its host {DATABASE} takes no part in this run" in problem


def test_one_of_the_databases_hosts_is_enough() -> None:
    """Whether it leads is known when the dump is made."""
    where = clustered.layout(clustered.inventory(parts=("database",)))
    wanted, (quay,) = settings(quay_version="v3.18.0"), where.quay
    connected = {quay, clustered.THREE}
    assert list(schema_version.problems(wanted, where, "v3.16.5", connected)) == []
    (problem,) = schema_version.problems(wanted, where, "v3.16.5", {quay})
    assert (
        "its host one.example.com, two.example.com, three.example.com takes no part in this run"
        in problem
    )


# --- the notes of several hosts ---

RESTORING = schema_version.restoring_note("v3.16.5-to-v3.18.0-1")


@pytest.mark.parametrize(
    ("notes", "schema"),
    [
        ([], None),
        ([None, None], None),
        (["", None], None),
        (["v3.16.5"], "v3.16.5"),
        ([None, "v3.16.5"], "v3.16.5"),
        (["v3.18.0", "v3.16.5"], "v3.18.0"),
        (["v3.9.0", "v3.10.0"], "v3.10.0"),
        (["v3.18.0", RESTORING], RESTORING),
        ([RESTORING, "v3.18.0"], RESTORING),
        (["v3.18.0", "?"], "?"),
        (["v3.17.4", MIGRATING], MIGRATING),
        ([MIGRATING, None], MIGRATING),
        ([MIGRATING, MIGRATING, "v3.17.4"], MIGRATING),
        # Its host took no part in the run that ended it.
        ([MIGRATING, "v3.18.0"], "v3.18.0"),
        ([MIGRATING, "v3.18.1"], "v3.18.1"),
        ([MIGRATING, "v3.18.0", RESTORING], RESTORING),
    ],
    ids=str,
)
def test_of_several_notes_the_latest_holds(notes: list[str | None], schema: str | None) -> None:
    """A host that took no part in an upgrade has an older one."""
    assert schema_version.latest(notes) == schema


def test_a_wrong_note_is_looked_for_on_all_quay_hosts() -> None:
    run = balanced.run()
    found = schema_version.problems(run.settings, run.topology, "?", run.machines)
    (problem,) = found
    assert "on quay1.example.com or quay2.example.com, which is not a version" in problem


# --- the note in a plan ---


def _plan(store: Store, schema: str | None, volumes: tuple[str, ...], **data: Any) -> Plan:
    found = machine(schema=schema, volumes=tuple(Volume(name, {}) for name in volumes))
    return plan.make([host(QUAY, **data)], {QUAY: found}, store)


@pytest.mark.parametrize(
    ("schema", "volumes", "migrates"),
    [
        (None, (), True),
        ("v3.16.5", (VOLUME,), True),
        ("v3.18.0", (VOLUME,), False),
    ],
    ids=["new", "older", "the same"],
)
def test_migration_is_due(
    store: Store, schema: str | None, volumes: tuple[str, ...], migrates: bool
) -> None:
    assert _plan(store, schema, volumes).migrates is migrates


def test_an_unfinished_migration_is_due_from_its_beginning(store: Store) -> None:
    made = _plan(store, MIGRATING, (VOLUME,))
    assert made.migrates
    assert (made.upgrade.before, made.upgrade.after) == ("v3.17.4", "v3.18.0")
    assert made.upgrade.has_begun


def test_a_stopped_engine_does_not_count_as_a_new_host(store: Store) -> None:
    down = machine(schema="v3.18.0", engine=Engine(None, None, None))
    assert not plan.make([host(QUAY)], {QUAY: down}, store).migrates


def test_legacy_quay_migrates_by_itself(store: Store) -> None:
    assert not _plan(store, None, (), quay_version="v2.9.1").migrates


def test_without_the_leader_nothing_is_migrated(store: Store) -> None:
    hosts = [host(QUAY, ["quay"], address="192.0.2.1"), host(DATABASE, ["database", "redis"])]
    made = plan.make(hosts, {DATABASE: machine(volumes=(Volume(VOLUME, {}),))}, store)
    assert (made.schema, made.migrates) == (None, False)


def test_downgrade_is_refused_with_the_other_problems(store: Store) -> None:
    made = _plan(store, None, (), quay_version="v3.17.4")
    plan.refuse_unfit(made)
    labelled = tuple(Volume(name, each.labels) for name, each in made.volumes_of(QUAY).items())
    found = machine(schema="v3.18.0", volumes=labelled, cpus=1)
    made = plan.make([host(QUAY, quay_version="v3.17.4")], {QUAY: found}, store)
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(made)
    keys = [problem.partition(":")[0] for problem in refused.value.problems]
    assert keys == ["quay_version", "minimum_cpus"]
