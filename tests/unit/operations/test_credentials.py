"""The credentials file, which is saved before any host gets the credentials."""

from __future__ import annotations

import dataclasses

import pytest

from operations import credentials
from quaylab.engines.state import FoundVolume
from quaylab.model import CREDENTIALS_LABEL
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost
from tests.unit.samples import machine

NAME = "quay.example.com"


def test_new_credentials_are_saved_once(lab: Plan) -> None:
    host = FakeHost()
    (command,) = host.operate(credentials.saved, plan=lab)
    assert host.call(command)
    assert lab.store.load({}) == lab.credentials
    assert host.operate(credentials.saved, plan=lab) == []
    assert host.noops == [f"{lab.store.path} is up to date"]


@pytest.mark.parametrize("owners", [(), ("1f-01234567", "2e-89abcdef")], ids=["none", "two"])
def test_only_the_data_of_one_registry_is_adopted(lab: Plan, owners: tuple[str, ...]) -> None:
    volumes = tuple(FoundVolume(f"of-{owner}", {CREDENTIALS_LABEL: owner}) for owner in owners)
    lab.store.remove()
    lab = dataclasses.replace(lab, machines={NAME: machine(volumes=volumes)})
    host = FakeHost()
    (command,) = host.operate(credentials.adopted, plan=lab)
    assert not host.call(command)
    found = ", ".join(owners) or "none"
    assert host.messages == [f"adopting needs the data of exactly one registry; found: {found}"]
    assert host.ran == []
    assert not lab.store.exists
