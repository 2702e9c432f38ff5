"""Which registry owns a host, by the data and notes on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from quaylab import __version__
from quaylab.checks import ownership
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services import ceph
from tests.unit.samples import CREDENTIALS, machine, one_host

OURS = CREDENTIALS.fingerprint
THEIRS = "fedcba9876543210-01234567"
NOTE = f"{THEIRS} quay.other.example:8443 other"
OLD = {DIGEST_LABEL: "0" * 64}


def _volume(owner: str, name: str = "quaylab-database") -> Volume:
    return Volume(name, {CREDENTIALS_LABEL: owner})


def _problems(store: Store, **found: Any) -> list[str]:
    return list(ownership.problems("db.example.com", machine(**found), CREDENTIALS, store))


def test_the_note_is_read_back() -> None:
    note = ownership.note(one_host(quay_https_port=8443), CREDENTIALS, "lab", "podman")
    assert note.path == "/var/lib/quaylab/registry"
    assert note.content == f"{OURS} quay.example.com:8443 lab {__version__} podman\n"
    with_note = machine(registry=note.content.strip())
    assert ownership.read_note(with_note) == (OURS, "quay.example.com:8443", "lab", "podman")


@pytest.mark.parametrize("version", ["", " 0.1.0"])
def test_a_note_of_an_older_quaylab_names_no_engine(version: str) -> None:
    before = machine(registry=f"{OURS} quay.example.com lab{version}")
    assert ownership.read_note(before) == (OURS, "quay.example.com", "lab", "")


@pytest.mark.parametrize("note", [None, "", "half a", "more words in it than there are"])
def test_a_note_in_another_form_is_ignored(note: str | None) -> None:
    assert ownership.read_note(machine(registry=note)) is None


def test_own_data_is_fine(store: Store) -> None:
    found = {"quaylab-redis": {**OLD, CREDENTIALS_LABEL: OURS}, "quaylab-quay": OLD}
    note = f"{OURS} quay.example.com lab"
    blobs = f"{OURS} default local"
    assert _problems(store, volumes=(_volume(OURS),), containers=found) == []
    assert _problems(store, registry=note, storage=blobs, containers=found) == []


def test_what_somebody_made_by_hand_belongs_to_no_registry(store: Store) -> None:
    found: dict[str, Any] = {"quaylab-redis": {}}
    assert _problems(store, volumes=(Volume("quaylab-database", {}),), containers=found) == []


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({"volumes": (_volume(THEIRS),)}, "volume quaylab-database"),
        ({"containers": {"quaylab-redis": {CREDENTIALS_LABEL: THEIRS}}}, "container quaylab-redis"),
        ({"containers": {"quaylab-redis": OLD}, "registry": NOTE}, "container quaylab-redis"),
        ({"storage": f"{THEIRS} default local"}, "/var/lib/quaylab/storage"),
        (
            {"volumes": (_volume(THEIRS), _volume(THEIRS, "quaylab-quay-storage"))},
            "volume quaylab-database, volume quaylab-quay-storage",
        ),
    ],
    ids=["volume", "container", "older container", "note", "several"],
)
def test_another_registrys_data_is_reported_once_with_the_remedies(
    store: Store, found: dict[str, Any], what: str
) -> None:
    (problem,) = _problems(store, **found)
    assert problem.startswith(f"lab_name: {what} on db.example.com belongs to the credentials fe")
    assert f"{store.path} is of another registry" in problem
    for remedy in ("restore that file", "tasks/adopt.py", "run with the inventory", "purge="):
        assert remedy in problem


def test_a_note_without_data_is_no_problem(store: Store) -> None:
    assert _problems(store, registry=NOTE) == []


def test_the_owning_registry_is_named(store: Store) -> None:
    (problem,) = _problems(store, volumes=(_volume(THEIRS),), registry=NOTE)
    assert "(registry quay.other.example:8443, lab_name other)" in problem
    assert problem.endswith("--data purge=quay.other.example")
    (problem,) = _problems(store, volumes=(_volume("another"),), registry=NOTE)
    assert "quay.other.example" not in problem


def test_lost_credentials_are_reported(tmp_path: Path) -> None:
    (problem,) = _problems(Store("lab", tmp_path), volumes=(_volume(THEIRS),))
    assert "lab.yaml is missing" in problem


def test_another_key_of_the_same_registry_is_reported(store: Store) -> None:
    changed = CREDENTIALS.model_copy(update={"database_secret_key": SecretStr("another-key")})
    (problem,) = _problems(store, volumes=(_volume(changed.fingerprint),))
    assert problem.startswith("database_secret_key: ")


def test_another_registrys_ceph(store: Store) -> None:
    assert _problems(store, bootstrapped_cluster=ceph.cluster_id(CREDENTIALS)) == []
    (problem,) = _problems(store, bootstrapped_cluster="1-2-3-4-5")
    assert "the Ceph cluster 1-2-3-4-5 on db.example.com belongs to another registry" in problem


def test_made_by_hand(lab: Plan) -> None:
    workloads = lab.workloads_of("quay.example.com")
    found = {"quaylab-redis": {}, "quaylab-quay": OLD, "quaylab-mirror": {"a": "b"}}
    assert ownership.foreign_containers(machine(containers=found), workloads) == ["quaylab-redis"]
