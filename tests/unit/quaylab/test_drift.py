"""The list of drifted operations from a dry run's plan."""

from __future__ import annotations

import io
import json

import pytest

from quaylab import drift

PLAN = {
    "plan": [
        {"name": "tasks/redis.py | Run Redis", "hosts_with_change": ["a", "b"]},
        {"name": "tasks/quay.py | Run Quay", "hosts_with_change": []},
    ]
}


def test_names_what_would_change() -> None:
    assert drift.drift(json.dumps(PLAN)) == ["redis.py | Run Redis: a, b"]


@pytest.mark.parametrize(("plan", "status"), [(PLAN, 1), ({"plan": []}, 0)])
def test_exit_status_shows_drift(
    plan: object, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(plan)))
    assert drift.main() == status
    assert capsys.readouterr().out


def test_a_dry_run_without_a_plan_has_told_no_drift(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert drift.main() == 2
    assert "the plan of the dry run can't be read" in capsys.readouterr().err
