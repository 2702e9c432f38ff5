"""The registry's status: a line for each member of the database and for each router."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from facts.patroni import Member, Patroni, PatroniState
from facts.router import Router
from operations import status
from operations.hosts import reach
from operations.services import patroni
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit import clustered, fronted
from tests.unit.balanced import BALANCERS
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.fake_host import FakeHost, text

MEMBERS = {
    ONE: Member("leader", "running", None),
    TWO: Member("sync_standby", "streaming", 0),
    THREE: Member("replica", "streaming", 3 * 1024**2),
}
SERVING = {"database": [ONE], "redis": [ONE]}


class Site:
    """Three hosts with a healthy database and routers; all other parts are fine."""

    def __init__(self, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        machines = {
            name: dataclasses.replace(found, containers={"quaylab-database": {}})
            for name, found in plan.machines.items()
        }
        self.plan = dataclasses.replace(plan, machines=machines)
        self.hosts = {name: FakeHost(name=name) for name in machines}
        for host in self.hosts.values():
            host.facts = {Router: SERVING}
        self.know(MEMBERS)

    def know(self, members: dict[str, Member]) -> None:
        """Have all members know these."""
        for name, host in self.hosts.items():
            host.facts[Patroni] = PatroniState(name, "", members, {})

    def have(self, plan: Plan, facts: dict[Any, Any]) -> None:
        """Have other hosts, which all answer the same."""
        self.plan = plan
        self.hosts.update({name: FakeHost(facts, name) for name in plan.machines})

    def leave_out(self, name: str) -> None:
        """Have a host take no part in the run."""
        machines = {each: found for each, found in self.plan.machines.items() if each != name}
        self.plan = dataclasses.replace(self.plan, machines=machines)

    def lines(self) -> dict[str, str]:
        """Return the answer for each part."""
        self.failures = self.hosts[ONE].operate(status.printed, plan=self.plan)
        lines = self.capsys.readouterr().out.splitlines()
        return {
            part: answer.strip() for part, _, answer in (each.partition("  ") for each in lines)
        }

    @property
    def broken(self) -> str:
        (command,) = self.failures
        line = text(command)
        assert line.endswith("exit 1")
        return line.partition("broken: ")[2].partition("'")[0]


@pytest.fixture
def site(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Site:
    site = Site(clustered.made(store), capsys)
    hosts = SimpleNamespace(get_host=site.hosts.__getitem__)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(status, "inventory", hosts)
    monkeypatch.setattr(patroni, "inventory", hosts)
    for name in ("_node", "_balancer"):
        monkeypatch.setattr(status, name, lambda part, plan: "fine")
    for name in ("_end_to_end", "_certificate"):
        monkeypatch.setattr(status, name, lambda plan: "fine")
    answers: dict[str, Any] = dict.fromkeys(reach.QUESTIONS, lambda host, plan: "fine")
    monkeypatch.setattr(reach, "QUESTIONS", answers)
    return site


def test_each_member_with_its_role_and_each_router_with_whom_it_leads_to(site: Site) -> None:
    lines = site.lines()
    assert {part: lines[part] for part in lines if part.startswith(("Member", "Router"))} == {
        f"Member, {ONE}": "leads",
        f"Member, {TWO}": "synchronous, streaming",
        f"Member, {THREE}": "replica, streaming, 3.0 MiB behind",
        **{f"Router, {name}": f"database at {ONE}, redis at {ONE}" for name in HOSTS[:3]},
    }
    assert {answer for part, answer in lines.items() if not part.startswith(("M", "R"))} == {"fine"}
    assert site.failures == []


def test_while_planning_nothing_is_printed(site: Site) -> None:
    site.hosts[ONE].executing = False
    assert site.lines() == {}
    assert site.hosts[ONE].noops == ["printed when the run comes to it"]


def test_a_single_database_has_neither_members_nor_routers(site: Site, lab: Plan) -> None:
    site.plan = lab
    assert not [part for part in site.lines() if part.startswith(("Member", "Router"))]
    assert site.failures == []


def test_a_member_that_does_not_answer(site: Site) -> None:
    site.hosts[TWO].facts[Patroni] = None
    answer = "Patroni or etcd does not answer; ./lab up brings them back"
    assert site.lines()[f"Member, {TWO}"] == answer
    assert site.broken == f"Member, {TWO}"


def test_a_member_without_a_container_is_not_asked(site: Site) -> None:
    machine = dataclasses.replace(site.plan.machines[TWO], containers={})
    machines = {**site.plan.machines, TWO: machine}
    site.plan = dataclasses.replace(site.plan, machines=machines)
    assert "does not answer" in site.lines()[f"Member, {TWO}"]
    assert [each for each in site.hosts[TWO].asked if each != {"container": "quaylab-router"}] == []


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({**MEMBERS, TWO: Member("replica", "starting", None)}, "replica, starting"),
        ({**MEMBERS, TWO: Member("leader", "stopping", None)}, "leader, stopping"),
        ({ONE: MEMBERS[ONE], THREE: MEMBERS[THREE]}, "unknown to the others"),
    ],
    ids=["starting", "stopping", "unknown"],
)
def test_a_member_that_neither_leads_nor_follows(
    site: Site, members: dict[str, Member], words: str
) -> None:
    site.know(members)
    assert site.lines()[f"Member, {TWO}"] == f"neither leads nor follows: {words}"
    assert site.broken == f"Member, {TWO}"


def test_a_member_in_no_group(site: Site) -> None:
    """A machine that was replaced is on again."""
    site.know({**MEMBERS, "gone.example.com": Member("replica", "streaming", 0)})
    assert site.lines()["Member, gone.example.com"] == (
        "a member and in no group; switch it off, or remove quaylab-database and quaylab-etcd there"
    )
    assert site.broken == "Member, gone.example.com"


def test_a_router_that_does_not_answer(site: Site) -> None:
    site.hosts[TWO].facts[Router] = None
    answer = "HAProxy does not answer; ./lab up brings it back"
    assert site.lines()[f"Router, {TWO}"] == answer
    assert site.broken == f"Router, {TWO}"


@pytest.mark.parametrize(
    ("lost", "words"), [(("database",), "database"), (("database", "redis"), "database, redis")]
)
def test_a_router_that_leads_nowhere(site: Site, lost: tuple[str, ...], words: str) -> None:
    site.hosts[TWO].facts[Router] = {**SERVING, **{name: [] for name in lost}}
    assert site.lines()[f"Router, {TWO}"] == f"no server is up: {words}"
    assert site.broken == f"Router, {TWO}"


def test_a_host_that_takes_no_part(site: Site) -> None:
    site.leave_out(TWO)
    lines = site.lines()
    for part in (f"Member, {TWO}", f"Router, {TWO}"):
        assert lines[part] == f"{TWO} takes no part in this run"
    assert site.broken == f"Member, {TWO}, Router, {TWO}"


@pytest.mark.parametrize(
    ("gateways", "answer"),
    [
        (["ceph1", "ceph3"], "gateways at ceph1, ceph3"),
        ([], "no server is up: gateways"),
    ],
)
def test_each_ingress_with_the_gateways_that_answer(
    site: Site, store: Store, gateways: list[str], answer: str
) -> None:
    site.have(fronted.made(store), {Router: {"gateways": gateways}})
    lines = site.lines()
    assert [lines[f"Ingress, {name}"] for name in BALANCERS[:2]] == [answer] * 2
    assert bool(site.failures) is not bool(gateways)
