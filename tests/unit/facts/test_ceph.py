"""Ceph's report of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError

from facts.ceph import Ceph

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
}


def test_report_is_read() -> None:
    state = Ceph().process(["Inferring fsid …", json.dumps(REPORT)])
    assert state is not None
    assert (state.health, state.checks) == ("HEALTH_WARN", ("OSD_DOWN",))
    assert state.version == "18.2.7"
    assert state.daemons == {"mon": 1, "mgr": 1, "osd": 2, "rgw": 1}
    assert state.users == {"quay": "0" * 64}
    assert state.buckets == {"quay-storage": "quay"}


def test_versions_under_way_are_told_both() -> None:
    newer = VERSION.replace("18.2.7", "19.2.3")
    state = Ceph().process([json.dumps({**REPORT, "versions": {"osd": {VERSION: 1, newer: 1}}})])
    assert state is not None
    assert state.version == "18.2.7, 19.2.3"


def test_cluster_that_does_not_answer_is_none() -> None:
    assert Ceph().process([]) is None


@pytest.mark.parametrize("line", ["{", "{}", '{"versions": 1}'])
def test_damaged_report_is_told(line: str) -> None:
    with pytest.raises(FactProcessError):
        Ceph().process([line])
