"""Ceph's report of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.ceph import Ceph, Cephadm, CephadmState, Osds
from tests.unit.shell import Shell

FSID = "11111111-2222-3333-4444-555555555555"
VERSION = "ceph version 18.2.7 (6b0e988052ec84cf2d4a54ff9bbbc5e720b621ad) reef (stable)"
REPORT: dict[str, Any] = {
    "health": "HEALTH_WARN",
    "checks": ["OSD_DOWN"],
    "versions": {
        "mon": {VERSION: 1},
        "mgr": {VERSION: 1},
        "osd": {VERSION: 2},
        "mds": {},
        "rgw": {VERSION: 1},
        "overall": {VERSION: 5},
    },
    "users": {"quay": "0" * 64},
    "buckets": {"quay-storage": "quay"},
    "declared": [{"service_type": "host", "hostname": "ceph1"}],
    "osd_memory": [["osd", "osd_memory_target", "1073741824"]],
}


def test_report_is_read() -> None:
    state = Ceph().process(["Inferring fsid …", json.dumps(REPORT)])
    assert state is not None
    assert (state.health, state.checks) == ("HEALTH_WARN", ("OSD_DOWN",))
    assert state.version == "18.2.7"
    assert state.daemons == {"mon": 1, "mgr": 1, "osd": 2, "rgw": 1}
    assert state.users == {"quay": "0" * 64}
    assert state.buckets == {"quay-storage": "quay"}
    assert state.declared == [{"service_type": "host", "hostname": "ceph1"}]
    assert state.osd_memory == [("osd", "osd_memory_target", "1073741824")]


def test_during_an_upgrade_both_versions_are_reported() -> None:
    newer = VERSION.replace("18.2.7", "19.2.3")
    state = Ceph().process([json.dumps({**REPORT, "versions": {"osd": {VERSION: 1, newer: 1}}})])
    assert state is not None
    assert state.version == "18.2.7, 19.2.3"


def test_cluster_that_does_not_answer_is_none() -> None:
    assert Ceph().process([]) is None


@pytest.mark.parametrize("line", ["{", "{}", '{"versions": 1}'])
def test_damaged_report_is_an_error(line: str) -> None:
    with pytest.raises(FactProcessError):
        Ceph().process([line])


def test_cephadm_on_a_host() -> None:
    lines = ["package cephadm", "package lvm2", "authorized", "begun", "installed"]
    assert Cephadm().process(lines) == CephadmState(
        frozenset({"cephadm", "lvm2"}),
        authorized=True, made=False, begun=True, installed=True, running=False,
    )  # fmt: skip


def test_notes_of_cephadm(shell: Shell, tmp_path: Path) -> None:
    made, gateways = tmp_path / "made", tmp_path / "gateways"
    command = str(Cephadm().command(FSID, "a key", (str(made), str(gateways))))
    found = Cephadm().process(shell.lines(command))
    assert (found.made, found.gateways_to_restart) == (False, False)
    gateways.touch()
    found = Cephadm().process(shell.lines(command))
    assert (found.made, found.gateways_to_restart) == (False, True)


def _osd(fsid: str) -> bytes:
    """Return the beginning of a label as Ceph 18.2.7 writes it."""
    return b"bluestore block device\n" + bytes(200) + b"ceph_fsid$\0\0\0" + fsid.encode() + b"\x19"


@pytest.mark.parametrize(
    ("content", "owner"),
    [
        (_osd(FSID), "ours"),
        (_osd(FSID[::-1]), "osd"),
        (bytes(5000) + FSID.encode(), "other"),
        (b"a letter", "other"),
        (b"", "nothing"),
    ],
    ids=["ours", "another cluster's", "behind the label", "a letter", "new"],
)
def test_owner_of_an_osd(shell: Shell, tmp_path: Path, content: bytes, owner: str) -> None:
    path = tmp_path / "an osd"
    path.write_bytes(content)
    if not content:
        with path.open("wb") as file:
            file.truncate(1024**3)
    fact = Osds()
    lines = shell.lines(fact.command([str(path), str(tmp_path / "gone"), "/dev/zero"], FSID))
    assert fact.process(lines) == {str(path): owner, "/dev/zero": "other"}
