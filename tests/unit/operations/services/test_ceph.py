"""The files for Ceph's OSDs, and Quay's user, operation by operation."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from facts.ceph import Ceph, CephState, Osds
from operations.services import ceph as operations
from quaylab import plan
from quaylab.engines.state import FoundVolume as Volume
from quaylab.plan import Plan
from quaylab.scripts import ceph_report
from quaylab.secrets.credentials import Store
from quaylab.services import ceph
from tests.unit.fake_host import FakeHost, stdin
from tests.unit.samples import host, machine


@pytest.fixture
def lab(tmp_path: Path) -> Plan:
    return _plan(tmp_path)


def _plan(tmp_path: Path, **data: Any) -> Plan:
    hosts = [
        host("quay.example.com", address="192.168.254.10", **data),
        host("ceph", ["ceph"], address="192.168.254.20", **data),
    ]
    machines = {each.name: machine() for each in hosts}
    return plan.make(hosts, machines, Store("quaylab", tmp_path))


def _state(users: dict[str, str]) -> CephState:
    return CephState("HEALTH_OK", (), "18.2.7", {"mon": 1}, users, {})


def test_user_goes_through_standard_input(lab: Plan) -> None:
    (command,) = FakeHost(name="ceph").operate(operations.user_present, plan=lab)
    assert (
        str(command)
        == "docker exec --interactive quaylab-ceph radosgw-admin metadata put user:quay"
    )
    secret = lab.credentials.storage_secret_key
    assert secret is not None
    assert json.loads(stdin(command))["data"]["keys"][0]["secret_key"] == secret.get_secret_value()


def test_a_correct_user_is_left_alone(lab: Plan) -> None:
    digest = ceph_report.digest(ceph.user(lab.settings, lab.credentials))
    found = FakeHost({Ceph: _state({"quay": digest})}, "ceph")
    assert found.operate(operations.user_present, plan=lab) == []
    assert "HEALTH_OK" in found.noops[0]


@pytest.mark.parametrize("users", [{}, {"quay": "another digest"}, {"other": "one"}])
def test_a_missing_or_wrong_user_is_written(lab: Plan, users: dict[str, str]) -> None:
    found = FakeHost({Ceph: _state(users)}, "ceph")
    assert len(found.operate(operations.user_present, plan=lab)) == 1


def test_other_hosts_do_not_write_the_user(lab: Plan) -> None:
    quay = FakeHost()
    assert quay.operate(operations.user_present, plan=lab) == []
    assert quay.noops


def test_dry_run_with_a_stopped_cluster_plans_nothing(lab: Plan) -> None:
    with_volume = machine(volumes=(Volume("quaylab-ceph", {}),))
    down = dataclasses.replace(lab, machines={**lab.machines, "ceph": with_volume})
    planned = FakeHost(name="ceph")
    planned.executing = False
    assert planned.operate(operations.user_present, plan=down) == []
    assert planned.noops


def test_missing_osd_files_are_created_and_existing_ones_stay(tmp_path: Path) -> None:
    lab = _plan(tmp_path, ceph_osd_devices=("/srv/a", "/srv/b", "/dev/vg/c"), ceph_osd_size_gb=3)
    for content in ("ours", "nothing", "osd"):
        found = FakeHost({Osds: {"/srv/a": content}}, "ceph")
        (command,) = found.shell(operations.osd_files, plan=lab)
        assert "truncate --size 3G /srv/b" in command
    fsid = ceph.cluster_id(lab.credentials)
    assert found.asked == [{"paths": ["/srv/a", "/srv/b"], "fsid": fsid}]


def test_a_file_that_holds_something_else_is_no_osd(tmp_path: Path) -> None:
    lab = _plan(tmp_path, ceph_osd_devices=("/srv/a", "/srv/b"))
    found = FakeHost({Osds: {"/srv/b": "other"}}, "ceph")
    (refuse,) = found.shell(operations.osd_files, plan=lab)
    assert "ceph_osd_devices: /srv/b holds something, and is not touched" in refuse
    assert refuse.endswith("exit 1")


def test_only_our_own_osds_are_wiped(tmp_path: Path) -> None:
    owners = {
        "/srv/a": "ours",
        "/srv/b": "nothing",
        "/srv/c": "other",
        "/dev/vg/d": "ours",
        "/dev/vg/e": "osd",
    }
    lab = _plan(tmp_path, ceph_osd_devices=(*owners, "/dev/vg/gone"))
    found = FakeHost({Osds: owners}, "ceph")
    first, second, third = found.shell(operations.wiped, plan=lab)
    assert (first, second) == ("rm -f /srv/a", "rm -f /srv/b")
    assert third.startswith("dd if=/dev/zero")
    assert third.endswith("of=/dev/vg/d")
    assert found.noops == [
        "/srv/c holds no OSD of this cluster",
        "/dev/vg/e holds no OSD of this cluster",
    ]
    assert found.asked == [
        {"paths": [*owners, "/dev/vg/gone"], "fsid": ceph.cluster_id(lab.credentials)}
    ]
