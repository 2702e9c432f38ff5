"""The registry's status: a line for each node, balancer, member of the database and router, and for
what the registry itself answers."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from facts.balancer import Balancer, BalancerState, Server
from facts.database import Database, DatabaseState
from facts.keepalived import Keepalived
from facts.patroni import Member, Patroni, PatroniState
from facts.quay import Quay, QuayState
from facts.router import Router
from operations import status
from operations.hosts import reach
from operations.services import database, patroni
from quaylab.clients.registry import Health, RegistryError
from quaylab.plan import Plan
from quaylab.secrets import certificates
from quaylab.secrets.certificates import LEAF_LIFE
from quaylab.secrets.credentials import Store
from quaylab.services import member_certificate
from tests.unit import balanced, clustered, fronted
from tests.unit.balanced import BALANCERS, VIRTUAL
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.fake_host import FakeHost, text
from tests.unit.sites import BaseSite

MEMBERS = {
    ONE: Member("leader", "running", None),
    TWO: Member("sync_standby", "streaming", 0),
    THREE: Member("replica", "streaming", 3 * 1024**2),
}
SERVING = {"database": [ONE], "redis": [ONE]}
VERSION = "v3.18.0"
IN_SERVICE, DOWN = Server(True, False, False, 0), Server(False, False, False, 0)
DRAINED = Server(True, True, False, 2)
FACTS: dict[Any, Any] = {
    Router: SERVING,
    Quay: QuayState(VERSION, {"auth": True, "database": True}),
    Balancer: BalancerState("", {"quay1": IN_SERVICE, "quay2": DRAINED}),
    Keepalived: dataclasses.replace(Keepalived.default(), active=True),
}


class Site(BaseSite[FakeHost]):
    """Three hosts on which all is well. ``health`` is what the registry says of itself; without it
    there is no answer."""

    def __init__(self, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.health: Health | None = Health(True, {"auth": True, "redis": True})
        machines = {
            name: dataclasses.replace(found, containers={"quaylab-database": {}})
            for name, found in plan.machines.items()
        }
        self.plan = dataclasses.replace(plan, machines=machines)
        self.hosts = {name: FakeHost(name=name) for name in machines}
        for host in self.hosts.values():
            host.facts = {**FACTS}
        self.know(MEMBERS)

    def know(self, members: dict[str, Member], **settings: Any) -> None:
        """Have all members know these, and the cluster's settings."""
        for name, host in self.hosts.items():
            host.facts[Patroni] = PatroniState(name, "", members, settings)

    def have(self, plan: Plan, facts: dict[Any, Any] | None = None) -> None:
        """Have other hosts, which all answer the same."""
        self.plan = plan
        given = {**FACTS, **(facts or {})}
        self.hosts.update({name: FakeHost({**given}, name) for name in plan.machines})

    @contextmanager
    def registry(self, host: FakeHost, plan: Plan) -> Iterator[Any]:
        """Open a client of the registry, as ``reach`` does."""
        if self.health is None:
            raise RegistryError("TLS: refused")
        yield SimpleNamespace(health=lambda: self.health, days_left=lambda: 300)

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
    monkeypatch.setattr(database, "inventory", hosts)
    monkeypatch.setattr(reach, "registry", site.registry)
    answers: dict[str, Any] = dict.fromkeys(reach.QUESTIONS, lambda host, plan: "fine")
    monkeypatch.setattr(reach, "QUESTIONS", answers)
    return site


def test_each_part_of_a_healthy_registry(site: Site) -> None:
    """Each member with its role, and each router with whom it leads to."""
    url = site.plan.topology.url
    nodes = "quay1 in service, quay2 drained, 2 requests left"
    assert site.lines() == {
        **{f"Quay, {name}": f"{VERSION} at {url}, healthy" for name in HOSTS[:3]},
        **{f"Balancer, {name}": nodes for name in HOSTS[:3]},
        f"Member, {ONE}": "leads",
        f"Member, {TWO}": "synchronous, streaming",
        f"Member, {THREE}": "replica, streaming, 3.0 MiB behind",
        **{f"Router, {name}": f"database at {ONE}, redis at {ONE}" for name in HOSTS[:3]},
        **dict.fromkeys(("Database", "Redis", "Object store"), "fine"),
        "End to end": "auth, redis healthy",
        "Certificate": "300 days left",
        "Members' certificate": f"{LEAF_LIFE.days - 1} days left",
    }
    assert site.failures == []


@pytest.mark.parametrize(
    ("days", "answer", "broken"),
    [(10, "10 days left", False), (-1, "it has expired; ./lab up renews it", True)],
)
def test_the_certificate_of_the_members_ends(
    site: Site, days: int, answer: str, broken: bool
) -> None:
    """The registry's may be another one, of the operator's own."""
    made = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=days, hours=1) - LEAF_LIFE
    before = certificates.with_database_certificate(
        site.plan.credentials.model_copy(update={"database_certificate": None}),
        balanced.HOSTNAME,
        member_certificate.names(site.plan.topology),
        made,
    )
    site.plan = dataclasses.replace(site.plan, credentials=before)
    assert site.lines()["Members' certificate"] == answer
    assert bool(site.failures) is broken


def test_while_planning_nothing_is_printed(site: Site) -> None:
    site.hosts[ONE].executing = False
    assert site.lines() == {}
    assert site.hosts[ONE].noops == ["printed when the run comes to it"]


def test_a_single_database_has_neither_members_nor_routers(site: Site, lab: Plan) -> None:
    site.have(lab)
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
    assert patroni.CONTAINER not in [each.get("container") for each in site.hosts[TWO].asked]


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


def test_a_paused_cluster(site: Site) -> None:
    """It serves, but nobody takes over if the leader is lost."""
    site.know(MEMBERS, pause=True)
    line = site.lines()[f"Member, {ONE}"]
    assert line.startswith("leads, but Patroni is paused, so no other member takes over")
    assert "patronictl -c /etc/quaylab/patroni.yml resume" in line
    assert site.broken == ", ".join(f"Member, {name}" for name in (ONE, TWO, THREE))


def test_a_host_that_takes_no_part(site: Site) -> None:
    site.leave_out(TWO)
    lines = site.lines()
    parts = [f"{title}, {TWO}" for title in ("Quay", "Balancer", "Member", "Router")]
    assert [lines[part] for part in parts] == [f"{TWO} takes no part in this run"] * len(parts)
    assert site.broken == ", ".join(parts)


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


# --- Quay's nodes and the registry ---


@pytest.mark.parametrize(
    ("found", "answer"),
    [
        (None, "there is no container; ./lab up brings it back"),
        (QuayState(VERSION, {}), f"{VERSION}, not healthy: it does not answer"),
        (
            QuayState(VERSION, {"auth": False, "database": True, "redis": False}),
            f"{VERSION}, not healthy: auth, redis",
        ),
    ],
    ids=["no container", "no answer", "ill"],
)
def test_a_node_that_is_not_healthy(site: Site, found: QuayState | None, answer: str) -> None:
    site.hosts[TWO].facts[Quay] = found
    assert site.lines()[f"Quay, {TWO}"] == answer
    assert site.broken == f"Quay, {TWO}"


def test_a_stand_in_says_so(site: Site, lab: Plan) -> None:
    settings = lab.settings.model_copy(update={"image_source": "packages"})
    site.have(dataclasses.replace(lab, settings=settings))
    assert site.lines()["Quay"] == f"{VERSION} (a stand-in) at {lab.topology.url}, healthy"


def test_a_database_whose_indexes_may_be_wrong(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image with another operating system sorts text otherwise."""
    monkeypatch.setenv("COLUMNS", "1000")
    state = DatabaseState("UTF8", {}, False, ("2.28", "2.34"))
    site.hosts[ONE].facts[Database] = state
    line = site.lines()["Indexes"]
    assert line.startswith("the database's were made with the sort order 2.28, and the image's")
    assert f"make them anew on {ONE}, while writes wait: docker exec " in line
    assert 'REINDEX DATABASE "quay"' in line
    assert 'ALTER DATABASE "quay" REFRESH COLLATION VERSION' in line
    assert site.broken == "Indexes"


def test_a_registry_that_is_not_healthy(site: Site) -> None:
    site.health = Health(False, {"auth": True, "redis": False, "storage": False})
    assert site.lines()["End to end"] == "failing: redis, storage"
    assert site.broken == "End to end"


def test_a_registry_that_does_not_answer(site: Site) -> None:
    site.health = None
    lines = site.lines()
    assert [lines[part] for part in ("End to end", "Certificate")] == ["TLS: refused"] * 2
    assert site.broken == "End to end, Certificate"


# --- balancers ---

LB1, LB2, _ = BALANCERS


@pytest.fixture
def balancers(site: Site, store: Store) -> Site:
    """Hosts of which two are balancers that share an address, and the second one has it."""
    lab = balanced.made(store, virtual_address=VIRTUAL)
    holder = dataclasses.replace(lab.machines[LB2], own_addresses=frozenset({VIRTUAL}))
    site.have(dataclasses.replace(lab, machines={**lab.machines, LB2: holder}))
    return site


def test_each_balancer_with_its_nodes_and_the_address(balancers: Site) -> None:
    lines = balancers.lines()
    nodes = "quay1 in service, quay2 drained, 2 requests left"
    assert lines[f"Balancer, {LB1}"] == nodes
    assert lines[f"Balancer, {LB2}"] == f"holds {VIRTUAL}; {nodes}"
    assert balancers.failures == []


def _hold(balancers: Site, *names: str) -> None:
    machines = {
        name: dataclasses.replace(
            found, own_addresses=frozenset({VIRTUAL} if name in names else ())
        )
        for name, found in balancers.plan.machines.items()
    }
    balancers.plan = dataclasses.replace(balancers.plan, machines=machines)


@pytest.mark.parametrize(
    ("names", "answer"),
    [
        (
            (LB1, LB2),
            f"{LB1}, {LB2} hold {VIRTUAL} at once, so VRRP's messages (IP protocol 112) do not "
            "pass between them; let them pass in the firewalls and switches of their network",
        ),
        (
            (),
            f"no balancer holds {VIRTUAL}; see on each: journalctl "
            "--unit=quaylab-keepalived.service",
        ),
    ],
    ids=["two", "none"],
)
def test_an_address_that_not_exactly_one_balancer_holds(
    balancers: Site, names: tuple[str, ...], answer: str
) -> None:
    _hold(balancers, *names)
    assert balancers.lines()["Virtual address"] == answer
    assert balancers.broken == "Virtual address"


def test_a_balancer_that_takes_no_part_may_hold_the_address(balancers: Site) -> None:
    _hold(balancers)
    balancers.leave_out(LB2)
    assert "Virtual address" not in balancers.lines()


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        ({Balancer: None}, "HAProxy does not answer; ./lab up brings it back"),
        (
            {Keepalived: Keepalived.default()},
            f"keepalived does not run, so {VIRTUAL} can't move here",
        ),
        (
            {Balancer: BalancerState("", {"quay1": DOWN, "quay2": DRAINED})},
            f"holds {VIRTUAL}; no node is in service: quay1 down, quay2 drained, 2 requests left",
        ),
    ],
    ids=["HAProxy", "keepalived", "nodes"],
)
def test_a_balancer_that_is_broken(balancers: Site, facts: dict[Any, Any], answer: str) -> None:
    balancers.hosts[LB2].facts.update(facts)
    assert balancers.lines()[f"Balancer, {LB2}"] == answer
    assert balancers.broken == f"Balancer, {LB2}"
