"""An upgrade and its rollback, command by command, with database and Quay on two hosts."""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from quaylab.secrets.credentials import Store, generate
from tests.deploy.project import (
    ENGINE,
    Project,
    Result,
    container,
    fake,
    older_quay,
    report,
    volume,
)

OLD, NEW = "v3.16.5", "v3.18.0"
DUMP = f"{OLD}-to-{NEW}-20260131T120000Z"
NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
DUMP_FACT = "flock --shared"


def _labels(owner: str, data: str) -> dict[str, str]:
    """Return the labels of a volume with data of this kind."""
    return {
        "io.quaylab.data": data,
        "io.quaylab.path": "",
        "io.quaylab.credentials": owner,
        "io.quaylab.registry": "quay",
    }


def _database_facts(owner: str, *dumps: str, now: datetime = NOW, free: int = 9000) -> str:
    """Return what the host of a database with the old schema says of it and of its dumps."""
    description = {
        "before": OLD,
        "after": NEW,
        "engine": "postgresql",
        "credentials": owner,
        "revision": "316",
        "time": NOW.isoformat(),
        "tables": 9,
        "rows": 100,
        "size": 1000,
        "sha256": "0" * 64,
    }
    found = [
        f"now {now.timestamp():.0f}",
        "free 9000",
        f"data_free {free}",
        "size 1000",
        "revision 316",
        *(f"dump {name} {json.dumps(description)}" for name in dumps),
    ]
    return "\n".join(found)


def _site(
    project: Project,
    owner: str | None = None,
    *dumps: str,
    lost: bool = False,
    left: str = "",
    free: int = 9000,
) -> str:
    """Write an inventory with dumps and a database that has the old schema, or has ``lost`` its
    volume, and a container that was ``left`` on Quay's host; return its path.

    Args:
        free: the bytes that are free on the database's disk.
    """
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    credentials = generate()
    store.save(credentials)
    labels = _labels(credentials.fingerprint, "postgresql-15-c9s")
    found = _database_facts(owner or credentials.fingerprint, *dumps, free=free)
    quay = f"{report()}\n{ENGINE}\nschema {OLD}"
    if left:
        quay += f"\n{container(left)}"
    volumes = [] if lost else [volume("quaylab-database", labels)]
    database = "\n".join([report(), ENGINE, *volumes])
    return project.inventory(
        quay=[fake("quay", quay, ssh_hostname="192.0.2.1")],
        redis=[fake("quay", quay, ssh_hostname="192.0.2.1")],
        database=[fake("database", database, {DUMP_FACT: found}, ssh_hostname="192.0.2.2")],
    )


def test_notes_leave_a_host_that_quay_has_left_once_the_new_one_has_them(project: Project) -> None:
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    credentials = generate()
    store.save(credentials)
    held = {"quaylab-database": "postgresql-15-c9s", "quaylab-quay-storage": "quay-storage"}
    database, blobs = (
        volume(name, _labels(credentials.fingerprint, data)) for name, data in held.items()
    )
    notes = {
        "schema": NEW,
        "storage": f"{credentials.fingerprint} default local",
        "registry": f"{credentials.fingerprint} quay quaylab 0.1.0 docker",
    }
    former = fake(
        "former", f"{report(**notes)}\n{ENGINE}\n{database}\n{blobs}", ssh_hostname="192.0.2.2"
    )
    new = fake("quay", f"{report()}\n{ENGINE}\n{blobs}", ssh_hostname="192.0.2.1")
    site = project.inventory(quay=[new], redis=[former], database=[former])
    result = project.run("-y", "-vv", site, "tasks/quay.py")
    names = [
        "Record where the data is, and the schema's version",
        "Remove the notes of Quay's former hosts",
    ]
    assert [name for name in result.operations if name in names] == names, result.output
    removed = "rm -f /var/lib/quaylab/schema /var/lib/quaylab/storage /var/lib/quaylab/database"
    assert _commands(result, "former", removed)
    assert not _commands(result, "quay", removed)


def _commands(result: Result, host: str, *parts: str) -> list[int]:
    """Return the positions of the commands on a host that contain each of ``parts``."""
    commands = result.commands(host)
    return [position for part in parts for position, each in enumerate(commands) if part in each]


def test_dump_on_one_host_comes_before_the_migration_on_another(project: Project) -> None:
    result = project.run("-y", "-vv", _site(project), "deploy.py")
    names = ["Dump the database before its schema changes", "Migrate the database's schema"]
    assert [name for name in result.operations if name in names] == names
    steps = (" quaylab dump quay", " quaylab load quaylab-scratch", '"sha256": "%s"')
    positions = _commands(result, "database", *steps)
    assert len(positions) == 3
    assert positions == sorted(positions)
    assert _commands(result, "quay", "migrate head")
    assert not _commands(result, "quay", " quaylab dump")


def test_an_existing_dump_is_not_made_again(project: Project) -> None:
    result = project.run("-y", "-vv", _site(project, None, DUMP), "deploy.py")
    assert not _commands(result, "database", " quaylab dump")
    assert _commands(result, "quay", "migrate head")
    assert f"tasks/restore_database.py --data restore={DUMP}" in result.output


def _two_quays(project: Project, *notes: str) -> str:
    """Write an inventory with two nodes of Quay's, whose hosts have these notes of the schema, and
    with a dump that was made two hours ago; return its path."""
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir(exist_ok=True)
    credentials = store.load(environment={}) if store.exists else generate()
    store.save(credentials)
    kept = volume("quaylab-database", _labels(credentials.fingerprint, "postgresql-15-c9s"))
    later = NOW + timedelta(hours=2)
    facts = {DUMP_FACT: _database_facts(credentials.fingerprint, DUMP, now=later)}

    def machine(name: str, address: str, *lines: str) -> tuple[str, dict[str, Any]]:
        own = [f"own_address {address}", f"network eth0 {address}/24"]
        found = "\n".join([report(address=address), ENGINE, *own, *lines])
        return fake(name, found, facts, ssh_hostname=address)

    data = machine("data", "192.0.2.41", kept)
    return project.inventory(
        balancer=[machine("balancer", "192.0.2.21")],
        quay=[
            machine(f"quay{number}", f"192.0.2.3{number}", f"schema {note}")
            for number, note in enumerate(notes, 1)
        ],
        database=[data],
        redis=[data],
        ceph=[data],
    )


def _upgrade(project: Project, *notes: str, options: Sequence[str] = ()) -> Result:
    deploy = project.deploy_file(("database", "quay"))
    name = "--data=server_hostname=registry.example.com"
    return project.run("-y", "-vv", _two_quays(project, *notes), deploy, name, *options)


RECORD = "Record that the schema is being migrated"
MIGRATE = "Migrate the database's schema"
# How a command begins that replaces the note of the schema before others.
NOTE = "mkdir -p /var/lib/quaylab && umask 077 && { test ! -d /var/lib/quaylab/schema "


def test_a_migration_is_noted_on_every_quay_host_before_it_begins(project: Project) -> None:
    result = _upgrade(project, OLD, OLD)
    names = ["Check database, Redis and storage with Quay's credentials", RECORD, MIGRATE]
    assert [name for name in result.operations if name in names] == names, result.output
    assert _commands(result, "quay1", NOTE)[0] < _commands(result, "quay1", "migrate head")[0]
    assert _commands(result, "quay2", NOTE)


def test_the_old_version_is_refused_after_the_loss_of_the_host_that_migrated(
    project: Project,
) -> None:
    migrating = f"migrating {OLD} to {NEW}"
    lost = ["--exclude", "@fake/quay1"]
    refused = _upgrade(project, migrating, migrating, options=[*lost, f"--data=quay_version={OLD}"])
    assert refused.code == 1
    assert f"the database's migration from {OLD} to {NEW} has begun and not" in refused.output
    assert refused.operations == []
    finished = _upgrade(project, migrating, migrating, options=lost)
    assert _commands(finished, "quay2", "migrate head")
    assert not _commands(finished, "data", " quaylab dump")


def test_a_host_that_missed_the_end_of_a_migration_gets_its_note(project: Project) -> None:
    result = _upgrade(project, NEW, f"migrating {OLD} to {NEW}")
    assert RECORD not in result.operations
    assert not [
        each for name in ("quay1", "quay2") for each in _commands(result, name, " migrate ")
    ]
    (written,) = _commands(result, "quay2", "/var/lib/quaylab/schema")
    assert written < _commands(result, "quay2", "docker run")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "quay_version=v3.15.1"], f"Quay knows no way back to v3.15.1; set {OLD}"),
        (["--data", "quay_version=v3.20.0"], "set a version of v3.19 first"),
        (["--limit", "quay"], "its host @fake/database takes no part in this run"),
    ],
    ids=["downgrade", "jump", "without the database's host"],
)
def test_refused(project: Project, options: list[str], message: str) -> None:
    result = project.run("-y", "-vv", _site(project), "deploy.py", *options)
    assert result.code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert result.operations == []


def test_restore_stops_quay_and_replaces_the_database(project: Project) -> None:
    result = project.run("-y", "-vv", _site(project, None, DUMP), "tasks/restore_database.py")
    assert result.code == 0, result.output
    assert result.operations == [
        "Save the credentials",
        "Check that the dump is intact",
        "Stop Quay",
        "Get the database's image",
        "Record that the database is being restored",
        "Write the database's files",
        "Remember the superuser's former passwords",
        "Run the database",
        "Restore the dump",
        "Record which database it is, and the schema's version",
        "Print the next command",
    ]
    steps = ("sha256sum --check", " quaylab load quaylab-scratch", " quaylab swap")
    positions = _commands(result, "database", *steps)
    assert len(positions) == 3
    assert positions == sorted(positions)
    assert f"deploy.py --data quay_version={OLD}" in result.output


def test_restore_stops_quay_on_a_host_that_has_left_the_group(project: Project) -> None:
    """Its Quay runs on if the deploy failed that would have removed it."""
    _site(project, None, DUMP)
    groups = runpy.run_path(str(project.path / "inventory.py"))
    owner = Store("quaylab", project.credentials.parent).load(environment={}).fingerprint
    note = f"{owner} quay quaylab 0.1.0 docker"
    left = "\n".join([report(registry=note, schema=OLD), ENGINE, older_quay(owner)])
    answers = {"named=$(docker ps": older_quay(owner)}
    former = fake("former", left, answers, ssh_hostname="192.0.2.3")
    quay, database = groups["quay"], groups["database"]
    inventory = project.inventory(quay=quay, redis=[former], database=database)
    result = project.run("-y", "-vv", inventory, "tasks/restore_database.py")
    assert result.code == 0, result.output
    assert result.operations.index("Stop Quay") < result.operations.index("Restore the dump")
    (stop,) = result.commands("former")
    assert stop.startswith("docker stop quaylab-quay ")


@pytest.mark.parametrize(
    ("task", "interrupting"),
    [
        ("deploy.py", "Run the database"),
        ("tasks/restore_database.py", "Run the database"),
        ("tasks/teardown.py", "Remove containers and network"),
    ],
)
def test_a_killed_runs_migration_ends_before_its_database_is_interrupted(
    project: Project, task: str, interrupting: str
) -> None:
    inventory = _site(project, None, DUMP, left="quaylab-migration")
    result = project.run("-y", "-vv", inventory, task)
    waits = "Wait for the migration of a killed run"
    assert result.operations.index(waits) < result.operations.index(interrupting)
    assert _commands(result, "quay", "docker wait quaylab-migration ")
    assert not _commands(result, "database", "quaylab-migration")


def test_a_lost_database_is_restored_and_not_created_again(project: Project) -> None:
    inventory = _site(project, None, DUMP, lost=True)
    refused = project.run("-y", "-vv", inventory, "deploy.py")
    assert refused.code == 1
    assert "volume quaylab-database is not on @fake/database" in refused.output
    assert refused.operations == []
    result = project.run("-y", "-vv", inventory, "tasks/restore_database.py")
    assert result.code == 0, result.output
    assert _commands(result, "database", "docker volume create", " quaylab swap")


def test_the_database_is_dumped_at_any_time_where_it_is(project: Project) -> None:
    result = project.run("-y", "-vv", _site(project), "tasks/dump_database.py")
    assert result.code == 0, result.output
    assert result.operations == ["Dump the database, and check the dump"]
    steps = (" quaylab dump quay", " quaylab load quaylab-scratch", '"sha256": "%s"')
    positions = _commands(result, "database", *steps)
    assert len(positions) == 3
    assert positions == sorted(positions)
    assert result.commands("quay") == []


def test_a_restored_database_is_counted_before_it_takes_the_others_place(project: Project) -> None:
    result = project.run("-y", "-vv", _site(project, None, DUMP), "tasks/restore_database.py")
    steps = (" quaylab load", " quaylab rows quaylab-scratch", " quaylab swap")
    positions = _commands(result, "database", *steps)
    assert len(positions) == 3
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"owner": "fedcba9876543210"}, f"restore: {DUMP} belongs to the credentials fedc"),
        (
            {"options": ["--data", "restore=v3"]},
            f"no dump v3; in /var/lib/quaylab/dumps are:\n    {DUMP}",
        ),
        ({"free": 999}, "which needs 1000 bytes on the database's disk, found are 999"),
        ({"options": ["--limit", "quay"]}, "restore: @fake/database takes no part in this run"),
    ],
    ids=["other credentials", "unknown", "no space", "without the database's host"],
)
def test_restore_refused(project: Project, arguments: dict[str, Any], message: str) -> None:
    inventory = _site(project, arguments.get("owner"), DUMP, free=arguments.get("free", 9000))
    options = arguments.get("options", [])
    result = project.run("-y", "-vv", inventory, "tasks/restore_database.py", *options)
    assert result.code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert result.operations == []
