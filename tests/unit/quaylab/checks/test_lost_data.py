"""Data that must exist according to the notes on a host, and doesn't."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from quaylab import plan
from quaylab.checks import lost_data
from quaylab.engines.state import Engine
from quaylab.engines.state import FoundVolume as Volume
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.services.quay import STORAGE_VOLUME
from quaylab.upgrade import schema_version
from tests.unit import clustered
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.samples import host, machine

QUAY, DATABASE, CEPH = "quay.example.com", "db.example.com", "ceph.example.com"
ANSWERS = Engine("26.1.5", "/var/lib/docker", None)
LOCAL = "0123456789abcdef-01234567 default local"
# A Quay host's notes of a registry that has served.
SERVED = {"schema": "v3.18.0", "storage": LOCAL}


def _plan(store: Store, volumes: dict[str, dict[str, Any]], **changes: Any) -> Plan:
    """Return the plan of a host that has served, with the volumes that it reports."""
    notes = {key: changes.pop(key, value) for key, value in SERVED.items()}
    bare = machine(engine=ANSWERS)
    lab = plan.make([host(QUAY, **changes)], {QUAY: bare}, store)
    found = tuple(
        Volume(name, lab.volumes_of(QUAY)[name].labels, **state) for name, state in volumes.items()
    )
    return dataclasses.replace(
        lab, machines={QUAY: dataclasses.replace(bare, volumes=found, **notes)}
    )


def _problems(lab: Plan) -> list[str]:
    found = (
        lost_data.problems(name, lab.machines, lab.topology, lab.volumes_of)
        for name in lab.machines
    )
    return [problem for each in found for problem in each]


BOTH: dict[str, dict[str, Any]] = {"quaylab-database": {}, STORAGE_VOLUME: {}}


@pytest.mark.parametrize(
    ("volumes", "notes"),
    [
        (BOTH, {}),
        ({}, {"schema": None, "storage": None}),
        ({"quaylab-database": {"empty": True}}, {"schema": None, "storage": None}),
        ({**BOTH, STORAGE_VOLUME: {"empty": True}}, {}),
    ],
    ids=["all there", "new", "killed in its first run", "no image yet"],
)
def test_nothing_is_lost(
    store: Store, volumes: dict[str, dict[str, Any]], notes: dict[str, None]
) -> None:
    assert _problems(_plan(store, volumes, **notes)) == []


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ({STORAGE_VOLUME: {}}, "volume quaylab-database is not on quay.example.com"),
        (
            {**BOTH, "quaylab-database": {"empty": True}},
            "volume quaylab-database on quay.example.com is empty",
        ),
        ({"quaylab-database": {}}, f"volume {STORAGE_VOLUME} is not on quay.example.com"),
    ],
    ids=["database gone", "database empty", "blobs gone"],
)
def test_lost_data_is_refused(
    store: Store, volumes: dict[str, dict[str, Any]], message: str
) -> None:
    lab = _plan(store, volumes)
    (problem,) = _problems(lab)
    assert message in problem
    assert "tasks/teardown.py --data purge=quay.example.com" in problem
    assert ("tasks/restore_database.py" in problem) is ("quaylab-database" in message)
    with pytest.raises(Refusal) as refused:
        plan.refuse_unfit(lab)
    assert problem in refused.value.problems


def test_data_on_another_host_is_not_reported_as_lost(store: Store) -> None:
    """For example after two hosts have swapped their groups."""
    (lost,) = _problems(_plan(store, {STORAGE_VOLUME: {}}))
    lab = _plan(store, {STORAGE_VOLUME: {}})
    there = machine(engine=ANSWERS, volumes=(Volume("quaylab-database", {}),))
    lab = dataclasses.replace(lab, machines={**lab.machines, DATABASE: there})
    (problem,) = lost_data.problems(QUAY, lab.machines, lab.topology, lab.volumes_of)
    remedy = f"it is on {DATABASE}: put that host into the group `database` again"
    assert remedy in problem
    assert problem.replace(f"{remedy}; or ", "") == lost


def test_the_complete_command_for_a_lost_volume_is_shown(store: Store) -> None:
    (problem,) = _problems(_plan(store, {STORAGE_VOLUME: {}}, database_data="/srv/db"))
    lab = _plan(store, BOTH)
    assert f"--label=io.quaylab.credentials={lab.credentials.fingerprint}" in problem
    assert "--opt=device=/srv/db/quaylab-database" in problem


@pytest.mark.parametrize(
    ("name", "setting"),
    [("quaylab-database", "database_data"), (STORAGE_VOLUME, "quay_storage_path")],
)
@pytest.mark.parametrize(
    "state",
    [{"device": "/srv/data/sub", "missing": True, "empty": True}],
)
def test_a_disk_that_is_not_mounted_is_refused(
    store: Store, name: str, setting: str, state: dict[str, Any]
) -> None:
    lab = _plan(store, {**BOTH, name: state}, **{setting: "/srv/data"})
    (problem,) = _problems(lab)
    assert problem.startswith(f"{setting}: ")
    assert "/srv/data/sub on quay.example.com" in problem
    assert "mount the disk of /srv/data" in problem


def test_an_older_volume_is_the_mount_point_itself(store: Store) -> None:
    """The first verification stores blobs, so an empty volume means that a disk is missing."""
    state = {"device": "/srv/data", "empty": True}
    lab = _plan(store, {**BOTH, STORAGE_VOLUME: state}, quay_storage_path="/srv/data")
    (problem,) = _problems(lab)
    assert "mount the disk of /srv/data" in problem


def test_a_stopped_engine_is_no_proof_of_loss(store: Store) -> None:
    lab = _plan(store, {})
    down = dataclasses.replace(lab.machines[QUAY], engine=Engine(None, None, None))
    assert _problems(dataclasses.replace(lab, machines={QUAY: down})) == []


def test_a_removed_engine_is_no_proof_of_loss(store: Store) -> None:
    """Its package is gone, and its volumes are still on the disk."""
    lab = _plan(store, {})
    without = dataclasses.replace(lab.machines[QUAY], engine=None)
    assert _problems(dataclasses.replace(lab, machines={QUAY: without})) == []


def test_hosts_outside_the_run_are_no_proof_of_loss(store: Store) -> None:
    hosts = [
        host(QUAY, ["quay", "redis"], address="10.0.0.1"),
        host(DATABASE, ["database"], address="10.0.0.2"),
    ]
    served = machine(engine=ANSWERS, **SERVED, volumes=(Volume(STORAGE_VOLUME, {}),))
    both = {QUAY: served, DATABASE: machine(engine=ANSWERS)}
    lab = plan.make(hosts, both, store)
    (problem,) = _problems(lab)
    assert "volume quaylab-database is not on db.example.com" in problem
    for left in (QUAY, DATABASE):
        assert _problems(dataclasses.replace(lab, machines={left: both[left]})) == []


def _moved(store: Store, notes: dict[str, str], *there: str) -> Plan:
    """Return the plan of a run that moves Quay from the host that had everything to a new one.

    Args:
        notes: the former host's.
        there: the volumes that the new host has already.
    """
    ours = store.load(environment={}).fingerprint
    hosts = [
        host(DATABASE, ["database", "redis"], address="10.0.0.1", server_hostname=QUAY),
        host(QUAY, ["quay"], address="10.0.0.2", server_hostname=QUAY),
    ]
    former = machine(
        engine=ANSWERS,
        volumes=(Volume("quaylab-database", {}), Volume(STORAGE_VOLUME, {})),
        registry=f"{ours} {QUAY} lab 0.1.0 docker",
        **notes,
    )
    new = machine(engine=ANSWERS, volumes=tuple(Volume(name, {}) for name in there))
    return plan.make(hosts, {DATABASE: former, QUAY: new}, store)


def test_blobs_that_stay_on_a_former_host_of_quays_are_lost(store: Store) -> None:
    (problem,) = _problems(_moved(store, SERVED))
    assert f"volume {STORAGE_VOLUME} is not on {QUAY}" in problem
    assert f"/var/lib/quaylab/storage on {DATABASE} says" in problem
    assert f"it is on {DATABASE}: put that host into the group `quay` again" in problem


def test_quay_may_move_with_its_blobs_or_without_any_of_its_own(store: Store) -> None:
    elsewhere = {**SERVED, "storage": LOCAL.replace("local", "s3 s3.example.com:443/b/datastorage")}
    assert _problems(_moved(store, SERVED, STORAGE_VOLUME)) == []
    assert _problems(_moved(store, elsewhere)) == []
    theirs = _moved(store, SERVED)
    former = dataclasses.replace(theirs.machines[DATABASE], registry=f"owner {QUAY} lab")
    machines = {**theirs.machines, DATABASE: former}
    assert _problems(dataclasses.replace(theirs, machines=machines)) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quay_version": "v3.16.5"}, "quay_version: the database has the schema of v3.18.0"),
        ({"schema": "restoring a-dump"}, "restore: restoring a-dump has begun and not ended"),
        ({"schema": "v3.10.0"}, "quay_version: v3.18.0 is 8 minor versions after"),
    ],
    ids=["downgrade", "restore", "jump"],
)
def test_the_schema_is_known_from_a_former_host_of_quays(
    store: Store, changes: dict[str, str], message: str
) -> None:
    notes = {**SERVED, **{key: text for key, text in changes.items() if key == "schema"}}
    moved = _moved(store, notes, STORAGE_VOLUME)
    settings = moved.settings.model_copy(
        update={"quay_version": changes.get("quay_version", "v3.18.0")}
    )
    (problem,) = schema_version.problems(settings, moved.topology, moved.schema, moved.machines)
    assert problem.startswith(message)


def test_a_note_of_a_present_host_of_quays_holds(store: Store) -> None:
    """The former one's is outdated if it took no part in the run that removes it."""
    moved = _moved(store, {**SERVED, "schema": "v3.17.4"}, STORAGE_VOLUME)
    assert (moved.schema, moved.migrates) == ("v3.17.4", True)
    present = dataclasses.replace(moved.machines[QUAY], schema="v3.18.0")
    machines = {**moved.machines, QUAY: present}
    assert dataclasses.replace(moved, machines=machines).schema == "v3.18.0"
    # Nor is it asked without a host of Quay's.
    alone = dataclasses.replace(moved, machines={DATABASE: moved.machines[DATABASE]})
    assert (alone.schema, alone.former_quays) == (None, ())


@pytest.mark.parametrize(
    ("volumes", "what"),
    [((), "is not on db.example.com"), ((Volume("quaylab-database", {}, empty=True),), "is empty")],
    ids=["gone", "empty"],
)
def test_without_quays_notes_a_host_that_has_served_gets_no_new_volume(
    store: Store, volumes: tuple[Volume, ...], what: str
) -> None:
    """As with --limit database after its disk was lost."""
    hosts = [
        host(QUAY, ["quay", "redis"], address="10.0.0.1"),
        host(DATABASE, ["database"], address="10.0.0.2"),
    ]
    ours = store.load(environment={}).fingerprint
    served = machine(engine=ANSWERS, volumes=volumes, registry=f"{ours} {QUAY} lab 0.1.0 docker")
    lab = plan.make(hosts, {DATABASE: served}, store)
    (problem,) = _problems(lab)
    assert problem.startswith(f"db.example.com: volume quaylab-database {what}, and ")
    assert problem.endswith("none of them takes part in this run; leave out --limit and --exclude")
    theirs = dataclasses.replace(served, registry=f"owner {QUAY} lab 0.1.0 docker")
    full = dataclasses.replace(served, volumes=(Volume("quaylab-database", {}),))
    # Its first run was killed before the database was set up, as Quay's host knows.
    known = {QUAY: machine(engine=ANSWERS), DATABASE: served}
    for machines in ({DATABASE: theirs}, {DATABASE: full}, known):
        assert _problems(dataclasses.replace(lab, machines=machines)) == []


def test_a_host_without_data_of_the_registry_needs_no_quay(store: Store) -> None:
    hosts = [
        host(QUAY, ["quay", "database"], address="10.0.0.1"),
        host("redis", ["redis"], address="10.0.0.2"),
    ]
    ours = store.load(environment={}).fingerprint
    served = machine(engine=ANSWERS, registry=f"{ours} {QUAY} lab 0.1.0 docker")
    assert _problems(plan.make(hosts, {"redis": served}, store)) == []


def test_lost_data_of_ceph(store: Store) -> None:
    hosts = [
        host(QUAY, ["quay", "redis", "database"], address="10.0.0.1"),
        host(CEPH, ["ceph"], address="10.0.0.2"),
    ]
    blobs = "0123456789abcdef-01234567 default radosgw 10.0.0.2:7480/quay-storage/datastorage"
    served = machine(
        engine=ANSWERS, schema="v3.18.0", storage=blobs, volumes=(Volume("quaylab-database", {}),)
    )
    lab = plan.make(hosts, {QUAY: served, CEPH: machine(engine=ANSWERS)}, store)
    (problem,) = _problems(lab)
    assert "volume quaylab-ceph is not on ceph.example.com" in problem


# --- a database on several hosts ---


def _cluster(store: Store, volumes: dict[str, dict[str, Any] | None]) -> Plan:
    """Return the plan of a cluster that has served, with the database's volume of each host."""
    notes = {"schema": "v3.18.0", "engine": ANSWERS}
    bare = clustered.made(store)
    machines = {}
    for name in HOSTS[:3]:
        state = volumes.get(name)
        labels = bare.volumes_of(name)["quaylab-database"].labels
        found = () if state is None else (Volume("quaylab-database", labels, **state),)
        machines[name] = clustered.report(name, volumes=found, **notes)
    return dataclasses.replace(bare, machines=machines)


FULL: dict[str, Any] = {}
EMPTY: dict[str, Any] = {"empty": True}


@pytest.mark.parametrize(
    "volumes",
    [
        {ONE: FULL, TWO: FULL, THREE: FULL},
        {TWO: FULL, THREE: FULL},
        {ONE: EMPTY, TWO: FULL, THREE: EMPTY},
        {THREE: FULL},
    ],
    ids=["all there", "a new host", "two are emptied", "two are new"],
)
def test_what_another_member_has_is_copied(
    store: Store, volumes: dict[str, dict[str, Any] | None]
) -> None:
    assert _problems(_cluster(store, volumes)) == []


@pytest.mark.parametrize(
    ("volumes", "messages"),
    [
        ({}, [f"volume quaylab-database is not on {name}" for name in HOSTS[:3]]),
        (
            {ONE: EMPTY, TWO: EMPTY, THREE: EMPTY},
            [f"volume quaylab-database on {name} is empty" for name in HOSTS[:3]],
        ),
    ],
    ids=["gone", "empty"],
)
def test_data_that_no_member_has_is_lost(
    store: Store, volumes: dict[str, dict[str, Any] | None], messages: list[str]
) -> None:
    problems = _problems(_cluster(store, volumes))
    assert len(problems) == 3
    for problem, message in zip(problems, messages, strict=True):
        assert message in problem
        assert "tasks/restore_database.py" in problem


def test_a_member_of_its_own_group_is_no_place_to_go_back_to(store: Store) -> None:
    """Its volume is empty as well."""
    first, second, _ = _problems(_cluster(store, {TWO: EMPTY}))
    assert "is not on one.example.com" in first
    assert "put that host into the group" not in first
    assert "on two.example.com is empty" in second


def test_members_outside_the_run_are_no_place_to_copy_from(store: Store) -> None:
    lab = _cluster(store, {TWO: FULL, THREE: FULL})
    alone = dataclasses.replace(lab, machines={ONE: lab.machines[ONE]})
    (problem,) = _problems(alone)
    assert "volume quaylab-database is not on one.example.com" in problem


def test_a_lost_volume_of_etcd_is_no_lost_data(store: Store) -> None:
    lab = _cluster(store, dict.fromkeys(HOSTS[:3], FULL))
    assert "quaylab-etcd" in lab.volumes_of(ONE)
    assert _problems(lab) == []
