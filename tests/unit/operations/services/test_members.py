"""Members of the database's cluster that are in no group: a run is refused, and told what to do."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import pytest

from facts.etcd import Etcd, EtcdMember
from facts.patroni import Member, Patroni, PatroniState
from operations.services import etcd, members, patroni
from quaylab.engines.state import FoundVolume
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from tests.unit import clustered
from tests.unit.clustered import ADDRESSES, HOSTS
from tests.unit.fake_host import FakeHost

GONE = "gone.example.com"
SWITCH_OFF = "switch it off, or remove quaylab-database and quaylab-etcd there"
FORGET = "have it forgotten, by tasks/forget_member.py --data forget=gone.example.com"


@pytest.fixture
def plan(store: Store) -> Plan:
    made = clustered.made(store)
    machines = {
        name: dataclasses.replace(
            found,
            containers={patroni.CONTAINER: {}},
            volumes=(FoundVolume(etcd.CONTAINER, {}),),
        )
        for name, found in made.machines.items()
    }
    return dataclasses.replace(made, machines=machines)


def _know(monkeypatch: pytest.MonkeyPatch, registered: list[str], listed: list[str]) -> None:
    """Have all hosts know these members, by Patroni and by etcd."""
    addresses = {**ADDRESSES, GONE: "192.168.254.99"}
    roles = {name: Member("replica", "streaming", 0) for name in registered}
    urls = tuple(EtcdMember("id", name, f"https://{addresses[name]}:2380") for name in listed)
    hosts = {
        name: FakeHost({Patroni: PatroniState(name, "", roles, {}), Etcd: urls}, name)
        for name in HOSTS[:3]
    }
    inventory = SimpleNamespace(get_host=hosts.__getitem__)
    for module in (etcd, patroni):
        monkeypatch.setattr(module, "inventory", inventory)


@pytest.mark.parametrize(
    ("is_registered", "is_listed", "steps"),
    [
        (True, False, SWITCH_OFF),
        (False, True, FORGET),
        (True, True, f"{SWITCH_OFF}, then {FORGET}"),
    ],
    ids=["forgotten, and on again", "lost", "never forgotten"],
)
def test_a_member_in_no_group_is_refused(
    plan: Plan,
    monkeypatch: pytest.MonkeyPatch,
    is_registered: bool,
    is_listed: bool,
    steps: str,
) -> None:
    known = list(HOSTS[:3])
    _know(monkeypatch, known + [GONE] * is_registered, known + [GONE] * is_listed)
    assert members.unknown(plan) == {GONE: f"a member and in no group; {steps}"}
    with pytest.raises(Refusal, match=re.escape(f"database: {GONE} is a member and in no group;")):
        members.refuse_unknown(plan)


def test_members_of_the_group_are_known(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is new, and one that is lost, too."""
    _know(monkeypatch, list(HOSTS[:2]), list(HOSTS[1:3]))
    members.refuse_unknown(plan)


def test_a_single_database_has_no_members(lab: Plan) -> None:
    members.refuse_unknown(lab)
