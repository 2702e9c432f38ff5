"""What the administrator of an external database may do, checked before any host is changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest
from pyinfra.api import Host

from operations.hosts import reach
from operations.services import external_services
from quaylab.clients.database_administrator import VARIABLE
from quaylab.clients.probes import Unreachable
from quaylab.database_login import Step
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from tests.unit.samples import settings

REFUSED = Unreachable("the password is wrong")
MADE = Step("make the role quay", None, "CREATE")
TAKEN_OVER = Step("set the password of the role quay", None, "ALTER", takes_over=True)


@pytest.fixture
def new(lab: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A registry with new credentials, which were never saved."""
    monkeypatch.setenv(VARIABLE, "provider-password")
    return dataclasses.replace(
        lab, settings=settings(database_admin="provider"), store=Store("new", tmp_path)
    )


def _answer(monkeypatch: pytest.MonkeyPatch, made: Plan, *missing: Step) -> Plan:
    monkeypatch.setattr(reach, "missing_steps", lambda host, plan: missing)
    return external_services._with_administrator(cast(Host, None), made, REFUSED)


def test_what_is_missing_is_created(new: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    administrator = _answer(monkeypatch, new, MADE).administrator
    assert administrator and administrator.user == "provider"


def test_an_existing_role_is_not_taken_over(
    new: Plan, lab: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another registry may use it."""
    with pytest.raises(Refusal, match="database_user: the role quay is there already"):
        _answer(monkeypatch, new, TAKEN_OVER)
    saved: Any = dataclasses.replace(new, store=lab.store)
    saved.store.save(saved.credentials)
    assert _answer(monkeypatch, saved, TAKEN_OVER).administrator
    monkeypatch.setenv("QUAYLAB_DATABASE_PASSWORD", "its-own-password")
    assert _answer(monkeypatch, new, TAKEN_OVER).administrator


def test_if_nothing_is_missing_the_reason_of_the_refusal_is_shown(
    new: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refusal, match="database_host: the password is wrong"):
        _answer(monkeypatch, new)
