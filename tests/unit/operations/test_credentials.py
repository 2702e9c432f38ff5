"""The credentials file, which is saved before any host gets the credentials."""

from __future__ import annotations

from operations import credentials
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost


def test_new_credentials_are_saved_once(lab: Plan) -> None:
    host = FakeHost()
    (command,) = host.operate(credentials.saved, plan=lab)
    assert host.call(command)
    assert lab.store.load({}) == lab.credentials
    assert host.operate(credentials.saved, plan=lab) == []
    assert host.noops == [f"{lab.store.path} is up to date"]
