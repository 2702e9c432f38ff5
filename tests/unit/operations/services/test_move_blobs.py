"""Blobs are copied by a container, and Quay is stopped before the rest is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import StringCommand
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.containers import Engine
from facts.files import Paths
from operations.services import move_blobs
from quaylab import blob_copy, plan
from quaylab.engines.state import FoundVolume as Volume
from quaylab.model import CREDENTIALS_LABEL, PATH_LABEL
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.services.quay import STORAGE_VOLUME
from tests.authority import Authority
from tests.unit.fake_host import FakeHost
from tests.unit.samples import CREDENTIALS, host, machine, with_storage_keys
from tests.unit.states import engine

NAME = "quay.example.com"
STORE = {"storage": "radosgw", "storage_host": "rgw.example.com"}


def _volume(path: str | None = None, **changes: Any) -> Volume:
    labels = {CREDENTIALS_LABEL: CREDENTIALS.fingerprint}
    if path:
        labels[PATH_LABEL] = path
    return Volume(STORAGE_VOLUME, labels, device=path, **changes)


def _plan(store: Store, volume: Volume | None = None, **changes: Any) -> Plan:
    store.save(with_storage_keys(store.load(environment={})))
    found = machine(volumes=(volume or _volume(),))
    return plan.make([host(NAME, **{**STORE, **changes})], {NAME: found}, store)


@pytest.fixture
def moving(store: Store) -> Plan:
    return _plan(store)


class Copying(FakeHost):
    """A host on which the copy succeeds or fails."""

    is_right = True

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        assert isinstance(command, StringCommand)
        self.asked.append({"command": command.get_raw_value(), **arguments})
        return self.is_right, CommandOutput([OutputLine("stderr", "a reason")])


def _copied(moving: Plan, is_last: bool, is_right: bool = True) -> Copying:
    host = Copying(name=NAME)
    host.is_right = is_right
    *_, copy = host.operate(move_blobs.copied, plan=moving, is_last=is_last)
    assert host.call(copy) is is_right
    return host


@pytest.mark.parametrize("is_last", [False, True], ids=["Quay serves", "Quay is stopped"])
def test_the_keys_are_in_standard_input_alone(moving: Plan, is_last: bool) -> None:
    (asked,) = _copied(moving, is_last).asked
    keys = moving.credentials.storage_access_key, moving.credentials.storage_secret_key
    plain = [key.get_secret_value() for key in keys if key]
    assert len(plain) == 2
    assert not [key for key in plain if key in asked["command"]]
    task = json.loads(asked["_stdin"])
    assert [*task["keys"].values()] == plain
    assert task["is_last"] is is_last
    assert asked["print_output"] is True


def test_the_volume_is_read_only_in_a_container_of_quays_image(moving: Plan) -> None:
    (asked,) = _copied(moving, False).asked
    command = asked["command"]
    assert f"--volume={STORAGE_VOLUME}:/datastorage:ro,z " in command
    assert "--entrypoint=python3 --workdir=/ quay.io/projectquay/quay:v3.18.0 -c " in command
    assert "--name=quaylab-copy-blobs --network=quaylab " in command


def test_the_container_of_a_killed_run_is_removed_first(moving: Plan) -> None:
    first, *_ = FakeHost(name=NAME).operate(move_blobs.copied, plan=moving, is_last=False)
    assert isinstance(first, StringCommand)
    assert "rm --force --volumes quaylab-copy-blobs" in first.get_raw_value()


@pytest.mark.parametrize(
    ("is_last", "message"),
    [(False, "Quay still serves"), (True, "a deploy with the former settings starts it")],
)
def test_a_copy_that_fails_stops_the_run(moving: Plan, is_last: bool, message: str) -> None:
    (line,) = _copied(moving, is_last, is_right=False).messages
    assert message in line


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            STORE,
            {"url": "https://rgw.example.com", "region": None, "is_s3": False, "proxy": None},
        ),
        (
            {"storage": "s3", "storage_host": None, "storage_region": "cn-north-1"},
            {
                "url": "https://s3.cn-north-1.amazonaws.com.cn",
                "region": "cn-north-1",
                "is_s3": True,
            },
        ),
        (
            {"storage": "gcs", "storage_host": None},
            {"url": "https://storage.googleapis.com", "is_s3": False},
        ),
        (
            {"https_proxy": "http://proxy.example.com:3128"},
            {"proxy": "http://proxy.example.com:3128"},
        ),
        ({"storage_port": 7480, "storage_tls": False}, {"url": "http://rgw.example.com:7480"}),
    ],
    ids=["radosgw", "s3", "gcs", "proxy", "port"],
)
def test_the_store_is_the_one_of_quays_driver(
    store: Store, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    task = json.loads(blob_copy.task(_plan(store, **changes), is_last=False))
    assert {key: task[key] for key in expected} == expected
    assert task["source"] == "/datastorage/registry"
    assert (task["bucket"], task["path"]) == ("quay-storage", "/datastorage/registry")


def test_with_a_role_no_keys_are_needed(store: Store) -> None:
    role: dict[str, Any] = {"storage": "s3", "storage_host": None, "storage_region": "eu-central-1"}
    task = json.loads(blob_copy.task(_plan(store, **role, storage_iam_role=True), is_last=False))
    assert task["keys"] == {}


def test_the_authorities_are_those_of_quays_bundle(store: Store, tmp_path: Path) -> None:
    files = [tmp_path / "storage.pem", tmp_path / "company.pem"]
    for file in files:
        Authority.new().save(file)
    given: dict[str, Any] = {"storage_ca": str(files[0]), "company_ca": str(files[1])}
    task = json.loads(blob_copy.task(_plan(store, **given), is_last=False))
    assert sorted(task["authorities"]) == sorted(file.read_text() for file in files)


def test_quay_is_removed_after_its_programs_were_stopped(moving: Plan) -> None:
    quay = moving.workloads_for("quay", NAME)[0].container
    host = FakeHost({Engine: engine(quay)}, NAME)
    stop, remove = host.shell(move_blobs.quay_stopped, plan=moving)
    assert "supervisorctl" in stop
    assert remove.startswith("docker stop quaylab-quay ")
    exited = FakeHost({Engine: engine(quay, state="exited")}, NAME)
    assert len(exited.shell(move_blobs.quay_stopped, plan=moving)) == 1


def test_quay_that_a_killed_run_has_stopped(moving: Plan) -> None:
    host = FakeHost(name=NAME)
    assert host.shell(move_blobs.quay_stopped, plan=moving) == []
    assert host.noops == ["quaylab-quay is not there"]


def test_the_record_is_removed(moving: Plan) -> None:
    there = FakeHost({Paths: [blob_copy.FOLDER]})
    assert there.shell(move_blobs.forgotten) == ["rm -rf /var/lib/quaylab/copied-blobs"]
    assert FakeHost().shell(move_blobs.forgotten) == []


def test_only_our_volume_is_moved(store: Store) -> None:
    plan.refuse_unfit(_plan(store), moves_blobs=True)
    with pytest.raises(Refusal, match="move them there by tasks/move_blobs"):
        plan.refuse_unfit(_plan(store))
    # The volume is the mount point itself, and its disk is not mounted.
    unmounted = _volume("/srv/quay", empty=True)
    for volume in (Volume(STORAGE_VOLUME, {}), _volume(missing=True), unmounted):
        with pytest.raises(Refusal, match="the volume quaylab-quay-storage with the blobs is not"):
            plan.refuse_unfit(_plan(store, volume), moves_blobs=True)
