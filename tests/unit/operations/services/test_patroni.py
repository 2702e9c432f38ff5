"""Members of the database's cluster are replaced one at a time, and the leader only after another
one has taken over."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.containers import Engine, Succeeds
from facts.etcd import Etcd, EtcdMember
from facts.files import Files
from facts.patroni import Member, Patroni, PatroniState
from facts.router import Router
from operations.engines import containers
from operations.runtime.observation import question
from operations.services import etcd, patroni
from quaylab.engines import DOCKER
from quaylab.engines.state import NOTHING, FoundVolume
from quaylab.model import FileState
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.services import patroni_config
from quaylab.services.patroni import wanted_digest
from tests.unit import clustered
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.fake_host import FakeHost, text
from tests.unit.sites import BaseSite
from tests.unit.states import engine, state

CONTAINER = "quaylab-database"
LEADER = Member("leader", "running", None)
SYNCHRONOUS = Member("sync_standby", "streaming", 0)
# A machine that was replaced and is on again.
GONE = "gone.example.com"
BEHIND = Member("quorum_standby", "streaming", 64 * 1024**2)
REPLICA = Member("replica", "streaming", 0)
STARTING = Member("replica", "starting", None)
SWITCH = re.compile(
    r"(?P<how>switchover|failover)( --leader \S+?)?( --candidate (?P<candidate>\S+?))?'?$"
)


class MemberHost(FakeHost):
    """A host with a member; None instead of its site's ``members``: Patroni or etcd is down."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__({}, name)
        self.site = site
        self.loaded = ""
        # The digest of the file that it loads when it is told to; empty: it does not.
        self.loads = wanted_digest(site.plan, name)
        self.has_wanted_files = True

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        if fact is Engine:
            return self.site.engines[self.name]
        if fact is Files:
            files = self.site.plan.workload("database", self.name).files
            written = {file.path: FileState(26, 0, 0o400, file.sha256) for file in files}
            return {path: written[path] for path in arguments["paths"] if self.has_wanted_files}
        if fact is Succeeds:
            assert arguments["container"] == CONTAINER
            return self.site.refuses_password
        if fact is Etcd:
            return self.site.etcd
        if fact is Router:
            assert self.site.holds_connections
            return self.site.routed
        assert fact is Patroni
        assert arguments == {"container": CONTAINER}
        if self.site.members is None or self.name in self.site.silent:
            return None
        members = dict(self.site.members)
        return PatroniState(self.name, self.loaded, members, self.site.settings)

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        line = text(command)
        if line == f"{DOCKER.reload(CONTAINER)}":
            self.site.events.append(f"{self.name}: reload")
            self.loaded = self.loads or self.loaded
            return True, CommandOutput([])
        assert line.startswith(f"docker exec {CONTAINER} ")
        if "set-roles" in line:
            self.site.events.append(f"{self.name}: set-roles")
            if not self.site.refusal:
                return True, CommandOutput([])
            lines = self.site.refusal.splitlines()
            return False, CommandOutput([OutputLine("stderr", each) for each in lines])
        found = SWITCH.search(line)
        assert found and self.site.members
        words = found[0].rstrip("'")
        self.site.events.append(f"{self.name}: {words}")
        candidate = found["candidate"]
        # Only where the candidate's data replaces everybody's, no client is spared.
        assert self.site.holds_connections or candidate
        if self.site.refusal:
            return True, CommandOutput([OutputLine("stdout", self.site.refusal)])
        members = self.site.members
        synchronous = next((name for name in members if members[name] == SYNCHRONOUS), "")
        before, after = self.site.leader, candidate or synchronous
        members.update({before: SYNCHRONOUS, after: LEADER})
        return True, CommandOutput([OutputLine("stdout", "200 Successfully switched over")])


class Site(BaseSite[MemberHost]):
    """Three hosts with a cluster, of which each member runs as specified; the first one leads."""

    def __init__(self, plan: Plan) -> None:
        self.members: dict[str, Member] | None = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: REPLICA}
        self.settings: dict[str, Any] = patroni_config.dynamic_settings()
        self.silent: set[str] = set()
        # What all members of etcd know; None: there is no majority.
        self.etcd: tuple[EtcdMember, ...] | None = (EtcdMember("id0", ONE, "https://1.2.3.4"),)
        self.refuses_password = False
        self.refusal = ""
        self.holds_connections = False
        # Where all routers lead; None: none runs.
        self.routed: dict[str, list[str]] | None = None
        self.events: list[str] = []
        # Called with each look at the clock.
        self.later: Callable[[], object] = lambda: None
        self.engines = {
            name: engine(plan.workload("database", name).container, (CONTAINER,))
            for name in plan.machines
        }
        self.plan = self.begun(plan)
        self.hosts = {name: MemberHost(self, name) for name in plan.machines}
        for name, host in self.hosts.items():
            host.loaded = wanted_digest(plan, name)

    @property
    def leader(self) -> str:
        assert self.members
        return next(name for name, member in self.members.items() if member.leads)

    def begun(self, plan: Plan) -> Plan:
        """Return the plan of a run that found the engines as they are."""
        machines = {
            name: dataclasses.replace(
                found,
                state=self.engines[name],
                containers={each: {} for each in self.engines[name].containers},
            )
            for name, found in plan.machines.items()
        }
        return dataclasses.replace(plan, machines=machines)

    def change(self, name: str, **changes: Any) -> None:
        """Have a host's container differ from its specification."""
        wanted = self.plan.workload("database", name).container
        found = {CONTAINER: state(wanted, **changes)}
        self.engines[name] = dataclasses.replace(self.engines[name], containers=found)
        self.plan = self.begun(self.plan)

    def empty(self) -> None:
        """Have no host run anything yet."""
        self.engines = dict.fromkeys(self.engines, NOTHING)
        self.members = None
        self.plan = self.begun(self.plan)

    def stop(self, *holding: str) -> None:
        """Have no host run anything, and these have a volume with data, as after a teardown."""
        self.empty()
        machines = {
            name: dataclasses.replace(
                found, volumes=(FoundVolume(CONTAINER, {}, empty=name not in holding),)
            )
            for name, found in self.plan.machines.items()
        }
        self.plan = dataclasses.replace(self.plan, machines=machines)

    def lead(self, name: str) -> None:
        assert self.members
        self.members = {**dict.fromkeys(self.members, REPLICA), name: LEADER}
        self.members[next(each for each in self.members if each != name)] = SYNCHRONOUS

    def commands(self, name: str, operation: Any = patroni.as_specified, **more: Any) -> list[Any]:
        if operation is not patroni.silent_loaded:
            more["plan"] = self.plan
        return self.hosts[name].operate(operation, **more)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.later()

    def call(self, name: str, function: Any, *arguments: Any) -> bool:
        command = FunctionCommand(function, arguments or (self.plan,), {})
        return self.hosts[name].call(command)


@pytest.fixture
def site(store: Store, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(clustered.made(store))

    @contextmanager
    def held(plan: Plan) -> Iterator[None]:
        site.holds_connections = True
        yield
        site.holds_connections = False

    monkeypatch.setattr(patroni, "new_connections_held", held)
    site.set_clock(monkeypatch)
    for module in (etcd, patroni):
        monkeypatch.setattr(module, "inventory", SimpleNamespace(get_host=site.hosts.__getitem__))
    monkeypatch.setattr(patroni, "inventory_arguments", lambda host: {})
    return site


def _steps(commands: list[Any]) -> list[str]:
    """Return what each command does, in a word or two."""
    words = []
    for command in commands:
        if isinstance(command, FunctionCommand):
            words.append(command.function.__name__)
            continue
        assert isinstance(command, StringCommand)
        line = text(command).replace(DOCKER.run_words, "docker run")
        known = ("docker rm", "docker run", "docker start", "restarts()", "set-roles", "HUP")
        words.append(next((each for each in known if each in line), line))
    return words


# --- the order of members ---


@pytest.mark.parametrize(
    ("leader", "order"),
    [(ONE, (TWO, THREE, ONE)), (TWO, (ONE, THREE, TWO)), (THREE, (ONE, TWO, THREE))],
)
def test_the_leader_comes_last(site: Site, leader: str, order: tuple[str, ...]) -> None:
    site.lead(leader)
    assert patroni.in_order(site.plan) == order


def test_the_founder_of_a_new_cluster_comes_first(site: Site) -> None:
    site.empty()
    assert patroni.in_order(site.plan) == HOSTS[:3]


def test_a_single_database_founds_the_cluster_before_others_copy_it(site: Site) -> None:
    """It has no Patroni that could be asked."""
    site.members = None
    assert patroni.in_order(site.plan) == HOSTS[:3]


def test_a_member_that_does_not_answer_is_no_reason_to_forget_the_leader(site: Site) -> None:
    site.silent = {ONE}
    site.lead(TWO)
    assert patroni.in_order(site.plan) == (ONE, THREE, TWO)


def test_only_connected_members_are_worked_on(site: Site) -> None:
    machines = {name: found for name, found in site.plan.machines.items() if name != TWO}
    plan = dataclasses.replace(site.plan, machines=machines)
    assert patroni.in_order(plan) == (THREE, ONE)


@pytest.mark.parametrize("name", HOSTS[:3])
def test_all_hosts_see_the_same_order(site: Site, name: str) -> None:
    with site.hosts[name].current():
        assert patroni.in_order(site.plan) == (TWO, THREE, ONE)


# --- who leads ---


def test_the_leaders_host(site: Site) -> None:
    site.lead(THREE)
    assert patroni.leader(site.plan) == THREE


def test_no_leader_is_known(site: Site) -> None:
    site.members = None
    assert patroni.leader(site.plan) is None


def test_a_leader_that_takes_no_part(site: Site) -> None:
    machines = {name: found for name, found in site.plan.machines.items() if name != ONE}
    assert patroni.leader(dataclasses.replace(site.plan, machines=machines)) is None


def test_a_single_database_leads(lab: Plan) -> None:
    assert patroni.leader(lab) == "quay.example.com"


# --- members as specified ---


def test_a_member_that_runs_as_specified_is_left_alone(site: Site) -> None:
    for name in HOSTS[:3]:
        assert site.commands(name) == []
        assert site.hosts[name].noops == [f"{CONTAINER} runs as specified and is healthy"]


@pytest.mark.parametrize("name", HOSTS[:3])
def test_a_member_is_replaced_after_another_one_leads(site: Site, name: str) -> None:
    """Whether it leads then is known only when it is its turn."""
    site.change(name, digest="other")
    assert _steps(site.commands(name)) == [
        "await_majority",
        "hand_over",
        "docker rm",
        "docker run",
        "restarts()",
        "await_member",
        "_set_roles",
    ]


def test_a_stopped_member_has_nothing_to_hand_over(site: Site) -> None:
    site.change(TWO, state="exited")
    assert _steps(site.commands(TWO)) == [
        "await_majority",
        "docker start",
        "restarts()",
        "await_member",
        "_set_roles",
    ]


@pytest.mark.parametrize("executing", [False, True])
def test_a_member_that_runs_and_copies_nothing_is_named(site: Site, executing: bool) -> None:
    """PostgreSQL answers, so its container is healthy."""
    assert site.members
    site.members[THREE] = Member("replica", "running", 900 * 1024**2)
    site.hosts[THREE].executing = executing
    assert _steps(site.commands(THREE)) == ["await_majority", "await_member", "_set_roles"]


def test_a_member_that_runs_and_has_no_etcd_yet_is_asked_later(site: Site) -> None:
    """While a run is planned that starts etcd."""
    site.members = None
    site.hosts[ONE].executing = False
    assert site.commands(ONE) == []
    assert site.hosts[ONE].noops == [ASKED_LATER]
    site.hosts[ONE].executing = True
    assert _steps(site.commands(ONE)) == ["await_majority", "await_member", "_set_roles"]


def test_a_new_member_gets_its_volume(site: Site) -> None:
    site.empty()
    lines = site.commands(ONE)
    assert "hand_over" not in _steps(lines)
    assert any(
        "docker volume create" in text(each) for each in lines if isinstance(each, StringCommand)
    )
    assert _steps(lines)[-2:] == ["await_member", "_set_roles"]


def test_a_replica_hands_nothing_over(site: Site) -> None:
    assert site.call(TWO, patroni.hand_over)
    assert (site.events, site.slept) == ([], 0)


def test_a_replica_waits_for_another_one_that_follows(site: Site) -> None:
    """A killed run may have replaced that one and not waited for it."""
    site.members = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: STARTING}

    def later() -> None:
        if site.slept > 10:
            site.members = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: REPLICA}

    site.later = later
    assert site.call(TWO, patroni.hand_over)
    assert 10 < site.slept < 12


def test_the_only_replica_that_follows_is_not_interrupted(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: STARTING, GONE: REPLICA}
    assert not site.call(TWO, patroni.hand_over)
    assert site.complaint.startswith(
        f"{TWO} follows the database, and no other member does after 300 s, so writes would wait"
    )


def test_a_lost_machine_is_not_waited_for(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: STARTING}
    machines = {name: found for name, found in site.plan.machines.items() if name != THREE}
    assert site.call(TWO, patroni.hand_over, dataclasses.replace(site.plan, machines=machines))


def test_a_replica_that_follows_nobody_may_be_replaced(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: STARTING, THREE: STARTING}
    assert site.call(TWO, patroni.hand_over)
    assert site.slept == 0


# --- while Patroni is paused ---

RESUME = f"docker exec {CONTAINER} sh -c 'patronictl -c /etc/quaylab/patroni.yml resume'"


PAUSED = "Patroni is paused, so no member takes over, and none that was stopped starts; end the"


@pytest.mark.parametrize("name", [ONE, TWO])
def test_no_member_is_interrupted_during_a_pause(site: Site, name: str) -> None:
    """A follower as well: a paused Patroni would not start it again."""
    site.settings["pause"] = True
    assert not site.call(name, patroni.hand_over)
    assert site.complaint == (
        f"{name} has a member of the database, and {PAUSED} pause on {name}: {RESUME}"
    )
    assert (site.events, site.slept) == ([], 0)


@pytest.mark.parametrize(("silent", "place"), [(set(), TWO), ({TWO}, ONE)])
def test_no_machine_is_taken_away_during_a_pause(site: Site, silent: set[str], place: str) -> None:
    site.settings["pause"] = True
    site.silent = silent
    assert not site.call(TWO, patroni.require_other_members)
    assert site.complaint == f"{TWO} stays on: {PAUSED} pause on {place}: {RESUME}"
    assert site.slept == 0


def test_a_member_that_a_pause_keeps_down(site: Site) -> None:
    site.settings["pause"] = True
    site.members = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: Member("replica", "stopped", None)}
    assert not site.call(THREE, patroni.await_member)
    assert site.complaint.endswith(f"{THREE} replica, stopped; {PAUSED} pause on {THREE}: {RESUME}")


@pytest.mark.parametrize("name", [ONE, TWO])
@pytest.mark.parametrize(
    ("change", "words"),
    [({"digest": "other"}, "replaced"), ({"state": "exited"}, "started")],
    ids=["replace", "start"],
)
def test_a_run_that_interrupts_or_starts_a_member_during_a_pause_is_refused(
    site: Site, name: str, change: dict[str, str], words: str
) -> None:
    site.settings["pause"] = True
    patroni.refuse_paused(site.plan)
    site.change(name, **change)
    with pytest.raises(Refusal) as refused:
        patroni.refuse_paused(site.plan)
    (problem,) = refused.value.problems
    assert problem == (
        f"database: {CONTAINER} on {name} has to be {words}, but {PAUSED} pause on {ONE}: {RESUME}"
    )
    site.settings["pause"] = False
    patroni.refuse_paused(site.plan)


def test_what_interrupts_no_member_is_done_during_a_pause(site: Site) -> None:
    site.settings["pause"] = True
    site.change(TWO, restart_policy="no")
    patroni.refuse_paused(site.plan)


def test_the_leader_hands_over_to_the_synchronous_member(site: Site) -> None:
    assert site.call(ONE, patroni.hand_over)
    assert site.events == [f"{ONE}: switchover --leader {ONE}"]
    assert site.leader == TWO


def test_new_connections_wait_until_all_routers_lead_to_the_successor(site: Site) -> None:
    site.routed = {"database": [ONE]}

    def notice() -> None:
        if site.slept >= 3:
            site.routed = {"database": [TWO]}

    site.later = notice
    assert site.call(ONE, patroni.hand_over)
    assert 3 <= site.slept < 4
    assert not site.holds_connections


def test_a_router_that_does_not_follow_is_not_waited_for(site: Site) -> None:
    site.routed = {"database": []}
    assert site.call(ONE, patroni.hand_over)
    assert patroni.NOTICE <= site.slept < patroni.NOTICE + 1


@pytest.mark.parametrize(
    ("second", "third", "leader"),
    [
        # For example while a member that was just replaced catches up.
        (REPLICA, (STARTING, SYNCHRONOUS), THREE),
        # A voter that lacks much would keep the other one from leading.
        (SYNCHRONOUS, (BEHIND, Member("quorum_standby", "streaming", 0)), TWO),
    ],
    ids=["no successor", "a voter is behind"],
)
def test_others_are_waited_for(
    site: Site, second: Member, third: tuple[Member, Member], leader: str
) -> None:
    before, after = third
    site.members = {ONE: LEADER, TWO: second, THREE: before}

    def later() -> None:
        if site.slept > 10 and site.leader == ONE:
            site.members = {ONE: LEADER, TWO: second, THREE: after}

    site.later = later
    assert site.call(ONE, patroni.hand_over)
    assert site.leader == leader
    assert 10 < site.slept < 12


def test_a_leader_without_a_successor_is_not_replaced(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: Member("replica", "streaming", 2 * 1024**2), THREE: STARTING}
    assert not site.call(ONE, patroni.hand_over)
    assert site.complaint == (
        f"{ONE} leads the database, and no other member can take over: {ONE} leads, {TWO} replica, "
        f"streaming, 2.0 MiB behind, {THREE} replica, starting; repair these first"
    )
    assert site.events == []
    assert patroni.SWITCHOVER <= site.slept < patroni.SWITCHOVER + 2


@pytest.mark.parametrize(
    "answer", ["412 no good candidates have been found", "503 Switchover failed"]
)
def test_a_switchover_that_patroni_refuses(site: Site, answer: str) -> None:
    site.refusal = answer
    assert not site.call(ONE, patroni.hand_over)
    assert site.complaint == f"no other member takes over: {site.refusal}"
    assert site.slept < 1


def test_a_switchover_for_which_patroni_does_not_wait_to_its_end(site: Site) -> None:
    """After 20 s it doesn't know, while the leader may still be writing a checkpoint."""
    site.refusal = "503 Switchover status unknown"
    members = site.members
    assert members

    def later() -> None:
        if site.slept > 10:
            members.update({ONE: SYNCHRONOUS, TWO: LEADER})

    site.later = later
    assert site.call(ONE, patroni.hand_over)


def test_a_member_in_no_group_is_no_successor(site: Site) -> None:
    """No router knows it."""
    site.members = {ONE: LEADER, TWO: REPLICA, THREE: STARTING, GONE: SYNCHRONOUS}
    assert not site.call(ONE, patroni.hand_over)
    assert "no other member can take over" in site.complaint
    assert site.events == []


def test_a_member_in_no_group_that_takes_over_is_a_failure(site: Site) -> None:
    site.members = {ONE: LEADER, GONE: SYNCHRONOUS, TWO: SYNCHRONOUS, THREE: REPLICA}
    assert not site.call(ONE, patroni.hand_over)
    assert site.leader == GONE
    assert site.complaint == (
        f"{GONE} leads the database now, and is in no group, so no router leads there; switch it "
        f"off, or remove {CONTAINER} there"
    )


def test_a_voter_in_no_group_is_not_waited_for(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: SYNCHRONOUS, THREE: REPLICA, GONE: BEHIND}
    assert site.call(ONE, patroni.hand_over)
    assert site.slept < 1


def test_the_leader_loads_its_files_before_it_hands_over(site: Site) -> None:
    """It is shown the password in its present file."""
    site.hosts[ONE].loaded = "older"
    assert site.call(ONE, patroni.hand_over)
    assert site.events == [
        f"{ONE}: reload",
        f"{ONE}: switchover --leader {ONE}",
    ]


def test_a_leader_with_other_ports_hands_over_without_loading(site: Site) -> None:
    """With its present file it would tell the others ports that nobody publishes yet."""
    site.change(ONE, ports=frozenset({"192.168.254.51:5433:5432", "192.168.254.51:8008:8008"}))
    site.hosts[ONE].loaded = "older"
    assert site.call(ONE, patroni.hand_over)
    assert site.events == [f"{ONE}: switchover --leader {ONE}"]


def test_files_that_no_run_has_written_are_not_waited_for(site: Site) -> None:
    """A reboot hands over as well, for example before the first run of a newer Quaylab."""
    site.hosts[ONE].loaded, site.hosts[ONE].has_wanted_files = "older", False
    assert site.call(ONE, patroni.hand_over)
    assert site.events == [f"{ONE}: switchover --leader {ONE}"]


def test_a_leader_that_does_not_load_its_files_stays(site: Site) -> None:
    site.hosts[ONE].loaded, site.hosts[ONE].loads = "older", ""
    assert not site.call(ONE, patroni.hand_over)
    assert site.events == [f"{ONE}: reload"]
    assert site.complaint.startswith(f"Patroni on {ONE} did not load patroni.yml within 30 s")


def test_a_replica_loads_nothing_before_it_is_replaced(site: Site) -> None:
    site.hosts[TWO].loaded = "older"
    assert site.call(TWO, patroni.hand_over)
    assert site.events == []


def test_a_member_whose_patroni_is_down_hands_nothing_over(site: Site) -> None:
    """It has given up the lead, or will."""
    site.members = None
    assert site.call(ONE, patroni.hand_over)
    assert site.events == []


def test_one_switchover_is_enough_to_replace_all_members(site: Site) -> None:
    for name in HOSTS[:3]:
        site.change(name, digest="other")
    for name in patroni.in_order(site.plan):
        functions = [each for each in site.commands(name) if isinstance(each, FunctionCommand)]
        assert all(site.hosts[name].call(each) for each in functions)
    assert site.events == [f"{ONE}: switchover --leader {ONE}"]


@pytest.mark.parametrize("member", [LEADER, SYNCHRONOUS, REPLICA])
def test_a_member_that_leads_or_follows_is_there(site: Site, member: Member) -> None:
    assert site.members
    site.members[TWO] = member
    assert site.call(TWO, patroni.await_member)
    assert site.slept == 0


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (None, "Patroni or etcd does not answer"),
        ({ONE: LEADER, TWO: STARTING}, f"{ONE} leads, {TWO} replica, starting"),
        ({ONE: LEADER}, f"{ONE} leads"),
    ],
    ids=["no answer", "starting", "unknown"],
)
def test_a_member_that_does_not_come(
    site: Site, members: dict[str, Member] | None, words: str
) -> None:
    site.members = members
    assert not site.call(TWO, patroni.await_member)
    seconds = site.plan.settings.health_timeout
    assert site.complaint == (
        f"{TWO} neither leads nor follows the database after {seconds} s: {words}; see: docker "
        f"logs {CONTAINER}"
    )
    assert seconds <= site.slept < seconds + 2


def test_a_member_that_copies_nothing_is_not_there(site: Site) -> None:
    """Patroni runs it, and the leader has dropped what it lacks."""
    assert site.members
    site.members[THREE] = Member("replica", "running", 900 * 1024**2)
    assert not site.call(THREE, patroni.await_member)
    assert f"{THREE} replica, running, 900.0 MiB behind" in site.complaint
    assert site.complaint.endswith(f"reinit quaylab {THREE} --force'")


# --- members that are started at once ---

START_AT_ONCE = ["docker run", "restarts()", "_await_leader"]


def _started(site: Site) -> dict[str, list[str]]:
    found = {name: _steps(site.commands(name, patroni.started))[-3:] for name in HOSTS[:3]}
    return {name: steps for name, steps in found.items() if steps}


@pytest.mark.parametrize("holding", [HOSTS[:3], (TWO, THREE)], ids=["all", "two"])
def test_members_with_data_start_at_once_if_none_leads(
    site: Site, holding: tuple[str, ...]
) -> None:
    """One that followed before needs the others' votes to lead, and waits for them in vain if it is
    started alone."""
    site.stop(*holding)
    assert _started(site) == dict.fromkeys(holding, START_AT_ONCE)


@pytest.mark.parametrize("holding", [(), (ONE,)], ids=["new", "a single database before"])
def test_the_first_member_of_a_cluster_starts_alone(site: Site, holding: tuple[str, ...]) -> None:
    site.stop(*holding)
    assert _started(site) == {}


def test_a_stopped_member_waits_for_its_turn_if_another_one_leads(site: Site) -> None:
    members, engines, plan = site.members, site.engines, site.plan
    site.stop(*HOSTS[:3])
    site.engines, site.members = {**engines, THREE: NOTHING}, members
    volumes = site.plan.machines[ONE].volumes
    site.plan = dataclasses.replace(
        plan,
        machines={
            name: dataclasses.replace(found, volumes=volumes)
            for name, found in plan.machines.items()
        },
    )
    assert _started(site) == {}
    # Two are lost, and the third can't lead alone.
    site.members = {ONE: SYNCHRONOUS, TWO: STARTING, THREE: STARTING}
    assert _started(site) == {THREE: START_AT_ONCE}


def test_a_leader_is_waited_for(site: Site) -> None:
    site.members = {ONE: STARTING, TWO: STARTING}
    site.later = lambda: site.lead(TWO) if site.slept > 5 else None
    assert site.call(ONE, patroni._await_leader)


def test_no_member_comes_to_lead(site: Site) -> None:
    site.members = {ONE: STARTING, TWO: STARTING}
    assert not site.call(ONE, patroni._await_leader)
    assert site.complaint == (
        f"no member leads the database after 300 s: {ONE} replica, starting, {TWO} replica, "
        f"starting; see: docker logs {CONTAINER}"
    )


# --- passwords of the roles ---


def _roles(site: Site, name: str = ONE) -> list[str]:
    return _steps(site.commands(name, patroni.roles_present))


def test_roles_with_their_passwords_are_left_alone(site: Site) -> None:
    assert _roles(site) == []
    assert site.hosts[ONE].noops == ["the roles have their passwords"]


def test_a_refused_password_is_set_on_the_leader(site: Site) -> None:
    site.refuses_password = True
    assert _roles(site) == ["set-roles"]
    assert _roles(site, TWO) == []
    assert site.hosts[TWO].noops == ["no member leads here"]


@pytest.mark.parametrize("others", [{}, {TWO: STARTING, THREE: STARTING}], ids=["none", "starting"])
def test_a_leader_that_nobody_copies_gets_its_roles(site: Site, others: dict[str, Member]) -> None:
    """A run was killed after it had started the first member of an adopted volume, which has Quay's
    role with its password, and before it made the others' roles."""
    site.members = {ONE: LEADER, **others}
    assert _roles(site) == ["set-roles"]


def test_without_etcd_nobody_sets_passwords(site: Site) -> None:
    """PostgreSQL may be in recovery then, and would refuse to after half a minute."""
    site.members = None
    assert _roles(site) == []
    assert site.hosts[ONE].noops == ["no member leads here"]


@pytest.mark.parametrize(("leader", "events"), [(TWO, [f"{TWO}: set-roles"]), (ONE, [])])
def test_a_started_member_makes_the_roles_if_it_leads(
    site: Site, leader: str, events: list[str]
) -> None:
    """As the founder does, whose data the others copy."""
    site.change(TWO, digest="other")
    *_, make = site.commands(TWO)
    site.lead(leader)
    assert site.hosts[TWO].call(make)
    assert site.events == events


def test_roles_are_made_when_patroni_answers_again(site: Site) -> None:
    """Without them no other member can copy the first one."""
    site.change(ONE, digest="other")
    *_, make = site.commands(ONE)
    site.silent = {ONE}
    site.later = lambda: site.silent.clear() if site.slept > 5 else None
    assert site.hosts[ONE].call(make)
    assert site.events == [f"{ONE}: set-roles"]


def test_roles_are_not_made_without_an_answer(site: Site) -> None:
    site.change(ONE, digest="other")
    *_, make = site.commands(ONE)
    site.members = None
    assert not site.hosts[ONE].call(make)
    assert site.complaint == (
        f"{ONE} neither leads nor follows the database any more: Patroni or etcd does not answer; "
        "run again"
    )


def test_roles_that_cannot_be_made(site: Site) -> None:
    site.change(ONE, digest="other")
    *_, make = site.commands(ONE)
    site.refusal = "ERROR: role is reserved\nSTATEMENT: ALTER ROLE quay PASSWORD 'secret'"
    assert not site.hosts[ONE].call(make)
    assert site.complaint == "the database's roles can't be made: ERROR: role is reserved"


def test_passwords_that_are_not_loaded_are_set(site: Site) -> None:
    """Those of replication and rewind can't be tried."""
    site.hosts[ONE].loaded = "older"
    assert _roles(site) == ["set-roles"]


@pytest.mark.parametrize("name", HOSTS[:3])
def test_before_the_first_start_nobody_sets_passwords(site: Site, name: str) -> None:
    """The operation comes before the members are started; the founder makes the roles then."""
    site.empty()
    assert _roles(site, name) == []
    assert site.hosts[name].noops == ["no member leads here"]


# --- files ---


def test_files_that_are_loaded_are_not_loaded_again(site: Site) -> None:
    assert site.commands(ONE, patroni.loaded) == []
    assert site.hosts[ONE].noops == ["the member runs with its present files"]


@pytest.mark.parametrize("loaded", ["", "older"], ids=["none of ours", "older"])
def test_other_files_are_loaded_without_a_restart(site: Site, loaded: str) -> None:
    host = site.hosts[TWO]
    host.loaded = loaded
    reload, wait = site.commands(TWO, patroni.loaded)
    assert text(reload) == f"docker kill --signal=HUP {CONTAINER} >/dev/null"

    def later() -> None:
        if site.slept > 5:
            host.loaded = wanted_digest(site.plan, TWO)

    site.later = later
    assert host.call(wait)


def test_each_member_loads_files_of_its_own(site: Site) -> None:
    site.hosts[TWO].loaded = wanted_digest(site.plan, ONE)
    assert _steps(site.commands(TWO, patroni.loaded)) == ["HUP", "_await_loaded"]


def test_files_that_patroni_does_not_load(site: Site) -> None:
    site.hosts[TWO].loaded = "older"
    _, wait = site.commands(TWO, patroni.loaded)
    assert not site.hosts[TWO].call(wait)
    assert site.complaint == (
        f"Patroni on {TWO} did not load patroni.yml within 30 s; see: docker logs {CONTAINER}"
    )


def test_a_member_without_etcd_loads_where_it_is(site: Site) -> None:
    """Its file may have etcd's old port."""
    site.members = None
    assert _steps(site.commands(TWO, patroni.loaded)) == ["HUP", "_await_loaded"]


def test_members_that_do_not_answer_load_their_files_at_once(site: Site) -> None:
    """Their certificate has expired: none of them answers, nor follows another one."""
    site.members = None
    for name in HOSTS[:3]:
        assert _steps(site.commands(name, patroni.silent_loaded)) == ["HUP"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("answers", "Patroni answers"),
        ("stopped", "no Patroni runs here"),
        ("new", "no Patroni runs here"),
        ("single", "no Patroni runs here"),
        ("planned", "asked when the run has written its files"),
    ],
)
def test_no_other_member_loads_its_files_before_its_turn(
    site: Site, what: str, reason: str
) -> None:
    if what != "answers":
        site.members = None
    if what == "stopped":
        site.change(ONE, state="exited")
    if what == "new":
        site.empty()
    if what == "single":
        site.change(ONE, command=("run-postgresql",))
    site.hosts[ONE].executing = what != "planned"
    assert site.commands(ONE, patroni.silent_loaded) == []
    assert site.hosts[ONE].noops == [reason]


# --- reboots ---


@pytest.mark.parametrize("name", HOSTS[:3])
def test_a_machine_may_reboot_while_the_others_lead_and_follow(site: Site, name: str) -> None:
    """Also if its own Patroni does not answer."""
    assert site.call(name, patroni.require_other_members)
    site.silent = {name}
    assert site.call(name, patroni.require_other_members)
    assert site.slept == 0


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({ONE: LEADER, TWO: SYNCHRONOUS, THREE: STARTING}, ONE),
        ({ONE: LEADER, TWO: SYNCHRONOUS, THREE: STARTING}, TWO),
        ({ONE: LEADER, TWO: SYNCHRONOUS, GONE: REPLICA}, TWO),
        ({ONE: SYNCHRONOUS, TWO: SYNCHRONOUS, THREE: SYNCHRONOUS}, TWO),
        ({GONE: LEADER, ONE: SYNCHRONOUS, TWO: SYNCHRONOUS, THREE: SYNCHRONOUS}, TWO),
    ],
    ids=["it leads", "it follows", "another in no group", "no leader", "a leader in no group"],
)
def test_a_machine_without_which_writes_would_wait_stays_on(
    site: Site, members: dict[str, Member], name: str
) -> None:
    site.members = members
    assert not site.call(name, patroni.require_other_members)
    assert site.complaint.startswith(
        f"{name} stays on: without it the database has no leader with a second member: "
    )
    assert site.complaint.endswith("; repair the others first")


# --- settings in etcd ---


def test_the_clusters_settings_are_left_alone(site: Site) -> None:
    site.settings = {**site.settings, "check_timeline": True}
    assert site.commands(ONE, patroni.settings_kept) == []
    assert site.hosts[ONE].noops == ["the cluster has its settings"]


def test_only_what_differs_is_set(site: Site) -> None:
    site.settings = {**site.settings, "ttl": 30, "pause": True}
    (command,) = site.commands(ONE, patroni.settings_kept)
    words = shlex.split(text(command))
    assert words[:3] == ["docker", "exec", CONTAINER]
    patch, _, control = words[-1].partition(" | ")
    assert json.loads(shlex.split(patch)[-1]) == {"ttl": 20}
    assert control == ("patronictl -c /etc/quaylab/patroni.yml edit-config --force --apply -")


def test_the_leader_alone_sets_them(site: Site) -> None:
    site.settings = {}
    for name in (TWO, THREE):
        assert site.commands(name, patroni.settings_kept) == []
        assert site.hosts[name].noops == ["another member leads"]


# --- a second member with every write ---


def test_a_synchronous_member_in_no_group_does_not_count(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: REPLICA, THREE: REPLICA, GONE: SYNCHRONOUS}
    (wait,) = site.commands(ONE, patroni.synchronous)
    assert not site.hosts[ONE].call(wait)
    assert "no member of the database has what the leader has" in site.complaint


@pytest.mark.parametrize("name", HOSTS[:3])
def test_a_synchronous_member_is_there(site: Site, name: str) -> None:
    assert site.commands(name, patroni.synchronous) == []
    assert site.hosts[name].noops == [f"{ONE} leads, {TWO} is synchronous"]


def test_a_synchronous_member_is_waited_for(site: Site) -> None:
    site.members = {ONE: LEADER, TWO: REPLICA, THREE: REPLICA}
    (wait,) = site.commands(ONE, patroni.synchronous)
    site.later = lambda: site.lead(ONE) if site.slept > 20 else None
    assert site.hosts[ONE].call(wait)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({ONE: LEADER, TWO: STARTING}, f"{ONE} leads, {TWO} replica, starting"),
        (None, "Patroni or etcd does not answer"),
    ],
    ids=["none", "no answer"],
)
def test_no_synchronous_member(site: Site, members: dict[str, Member] | None, words: str) -> None:
    site.members = members
    assert not site.call(ONE, patroni.await_successor)
    seconds = site.plan.settings.health_timeout
    assert site.complaint == (
        f"no member of the database has what the leader has, after {seconds} s, so writes wait: "
        f"{words}"
    )


# --- a chosen leader ---


def _leads(site: Site, place: str) -> list[Any]:
    return [
        each for name in HOSTS[:3] for each in site.commands(name, patroni.made_leader, place=place)
    ]


def test_the_member_that_shall_lead_leads(site: Site) -> None:
    assert _leads(site, ONE) == []
    assert [each.noops for each in site.hosts.values()] == [
        [f"{ONE} leads"],
        [f"{ONE} is to lead"],
        [f"{ONE} is to lead"],
    ]


@pytest.mark.parametrize(
    ("place", "how"), [(TWO, f"switchover --leader {ONE}"), (THREE, "failover")]
)
def test_another_member_takes_over(site: Site, place: str, how: str) -> None:
    """Patroni switches over to the synchronous member only. The leader is asked for it."""
    (command,) = _leads(site, place)
    assert site.hosts[place].call(command)
    assert site.events == [f"{ONE}: {how} --candidate {place}"]
    assert site.leader == place


def test_a_member_that_leads_meanwhile_is_left_alone(site: Site) -> None:
    (command,) = _leads(site, TWO)
    site.lead(TWO)
    assert site.hosts[TWO].call(command)
    assert site.events == []


def test_a_cluster_in_which_nobody_can_lead(site: Site) -> None:
    (command,) = _leads(site, TWO)
    site.members = {ONE: LEADER, TWO: STARTING}
    assert not site.hosts[TWO].call(command)
    assert site.complaint == (
        f"{TWO} can't lead: {ONE} leads, {TWO} replica, starting; repair these first"
    )


# --- planning ---

ASKED_LATER = "asked when the run has started the member"


@pytest.mark.parametrize(
    "operation",
    [patroni.roles_present, patroni.loaded, patroni.settings_kept, patroni.synchronous],
    ids=lambda each: each._inner.__name__,
)
def test_while_planning_a_member_that_does_not_run_is_not_asked(site: Site, operation: Any) -> None:
    site.empty()
    site.hosts[ONE].executing = False
    assert site.commands(ONE, operation) == []
    assert site.hosts[ONE].noops == [ASKED_LATER]


def test_a_healthy_cluster_is_planned_without_a_change(site: Site) -> None:
    for name in HOSTS[:3]:
        site.hosts[name].executing = False
        for operation in (
            patroni.started,
            patroni.as_specified,
            patroni.roles_present,
            patroni.loaded,
            patroni.settings_kept,
            patroni.synchronous,
        ):
            assert site.commands(name, operation) == []


def test_members_are_asked_with_all_other_facts(site: Site) -> None:
    wanted = [
        question(Patroni, container=CONTAINER),
        question(Succeeds, container=CONTAINER, command=patroni.REFUSES_PASSWORD),
    ]
    assert patroni.questions(site.plan, TWO) == (wanted, [])
    site.empty()
    assert patroni.questions(site.plan, TWO) == ([], [])


def test_a_single_database_is_not_asked_for_its_patroni(lab: Plan) -> None:
    assert patroni.questions(lab, "quay.example.com") == ([], [])


def test_no_password_is_on_a_command_line(site: Site) -> None:
    secrets = [
        value.get_secret_value()
        for key, value in site.plan.credentials
        if key.endswith("_password") and value
    ]
    site.refuses_password, site.settings = True, {}
    site.hosts[ONE].loaded = "older"
    for operation in (
        patroni.as_specified,
        patroni.roles_present,
        patroni.loaded,
        patroni.settings_kept,
    ):
        for command in site.commands(ONE, operation):
            if isinstance(command, StringCommand):
                assert not [each for each in secrets if each in text(command)]


# --- what runs ---


def test_containers_that_run_are_not_started(site: Site) -> None:
    workloads = [site.plan.workload("database", ONE)]
    host = site.hosts[ONE]
    assert host.shell(containers.started, workloads=workloads, timeout=60) == []
    assert host.noops == [f"already running: {CONTAINER}"]
