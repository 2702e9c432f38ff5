"""A host that is new, or has lost its data, joins etcd's members; no other is ever announced."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.exceptions import DeployError
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.containers import Engine
from facts.etcd import AnsweringEtcd, Etcd, EtcdMember
from operations.services import etcd
from quaylab.engines import DOCKER
from quaylab.engines.state import NOTHING, FoundVolume
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.services.base import member_name
from tests.unit import clustered
from tests.unit.clustered import ADDRESSES, HOSTS, ONE, THREE, TWO
from tests.unit.fake_host import FakeHost, text
from tests.unit.sites import BaseSite
from tests.unit.states import engine, state

CONTAINER = "quaylab-etcd"
CHANGE = re.compile(r"etcdctl member (remove|add|update) (\S+?)(?: --peer-urls=([^\s']+))?'?$")
OLD = EtcdMember("01d", "old.example.com", "https://192.168.254.99:2380")
NEVER = EtcdMember("0e4", "", "https://192.168.254.98:2380")
UNHEALTHY = "Error: etcdserver: unhealthy cluster"


def _url(name: str) -> str:
    return f"https://{ADDRESSES[name]}:2380"


class EtcdHost(FakeHost):
    """A host whose etcd knows the site's ``members``; it is ``silent`` while it doesn't run."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__({}, name)
        self.site = site
        self.silent = False

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        if fact is Engine:
            return self.site.engines[self.name]
        assert fact in (Etcd, AnsweringEtcd)
        assert arguments == {"container": CONTAINER}
        if fact is AnsweringEtcd:
            return () if self.silent else self.site.well()
        if self.silent or not self.site.has_majority:
            return None
        return tuple(self.site.members)

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        line = text(command)
        assert line.startswith(f"docker exec {CONTAINER} sh -c ")
        found = CHANGE.search(line)
        assert found
        how, what, url = found.groups()
        self.site.events.append(
            " ".join(each for each in (f"{self.name}:", how, what, url) if each)
        )
        if how in self.site.refused and self.site.slept < self.site.refuses:
            lines = ["{warning}", self.site.refused[how]]
            return False, CommandOutput([OutputLine("stderr", each) for each in lines])
        if how == "remove":
            self.site.members = [each for each in self.site.members if each.id != what]
        elif how == "update":
            self.site.members = [
                dataclasses.replace(each, peer_url=url) if each.id == what else each
                for each in self.site.members
            ]
        else:
            self.site.members.append(EtcdMember("new", "", url))
        return True, CommandOutput([])


class Site(BaseSite[EtcdHost]):
    """Three hosts on which etcd runs as specified."""

    def __init__(self, plan: Plan) -> None:
        self.members = [
            EtcdMember(f"id{at}", name, _url(name)) for at, name in enumerate(HOSTS[:3])
        ]
        self.has_majority = True
        # Why a change of the members is refused, by "add", "remove" or "update", and for how long.
        self.refused: dict[str, str] = {}
        self.refuses = 1000.0
        self.well_after = 0.0
        self.events: list[str] = []
        self.engines = {
            name: engine(plan.workload("etcd", name).container, (CONTAINER,))
            for name in plan.machines
        }
        self.volumes = {name: (FoundVolume(CONTAINER, {}),) for name in plan.machines}
        self.plan = self.begun(plan)
        self.hosts = {name: EtcdHost(self, name) for name in plan.machines}

    def well(self) -> tuple[str, ...]:
        """Return the addresses of the members that answer."""
        return tuple(
            f"https://{ADDRESSES[name]}:2379"
            for name, host in self.hosts.items()
            if not host.silent and self.slept >= self.well_after
        )

    def begun(self, plan: Plan) -> Plan:
        """Return the plan of a run that found the hosts as they are."""
        machines = {
            name: dataclasses.replace(
                found, state=self.engines[name], volumes=self.volumes.get(name, ())
            )
            for name, found in plan.machines.items()
        }
        return dataclasses.replace(plan, machines=machines)

    def lose(self, name: str) -> None:
        """Have a host be as a new one; etcd's members still know its former one."""
        self.engines[name] = NOTHING
        self.volumes.pop(name, None)
        self.hosts[name].silent = True
        self.plan = self.begun(self.plan)

    def renew(self, name: str) -> None:
        """Have a host be a new one of which etcd knows nothing."""
        self.lose(name)
        self.members = [each for each in self.members if each.name != name]

    def change(self, name: str, **changes: Any) -> None:
        """Have a host's container differ from its specification."""
        wanted = self.plan.workload("etcd", name).container
        found = {CONTAINER: state(wanted, **changes)}
        self.engines[name] = dataclasses.replace(self.engines[name], containers=found)
        self.plan = self.begun(self.plan)

    def commands(self, name: str, operation: Any = etcd.as_specified) -> list[str]:
        """Return what each command of an operation does, in a word or two."""
        words = []
        for command in self.hosts[name].operate(operation, plan=self.plan):
            if isinstance(command, FunctionCommand):
                words.append(command.function.__name__)
                continue
            assert isinstance(command, StringCommand)
            line = text(command).replace(DOCKER.run_words, "docker run")
            known = (
                "volume create",
                "volume rm",
                "docker rm",
                "docker run",
                "docker start",
                "restarts()",
            )
            words.append(next((each for each in known if each in line), line))
        return words

    def announce(self, name: str) -> bool:
        command, *_ = self.hosts[name].operate(etcd.as_specified, plan=self.plan)
        assert isinstance(command, FunctionCommand)
        return self.hosts[name].call(command)

    def noop(self, name: str) -> str:
        (found,) = self.hosts[name].noops
        return found


@pytest.fixture
def site(store: Store, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(clustered.made(store))
    monkeypatch.setattr(etcd, "inventory", SimpleNamespace(get_host=site.hosts.__getitem__))
    monkeypatch.setattr(etcd, "inventory_arguments", lambda host: {})
    site.set_clock(monkeypatch)
    return site


NEW_NETWORK = DOCKER.create_network
STARTED = [NEW_NETWORK, "volume create", "docker rm", "docker run", "restarts()"]
JOINING, FOUNDING = "touch /etc/quaylab/etcd/joins", "rm -f /etc/quaylab/etcd/joins"

# --- members that don't run ---


def test_members_that_run_are_not_started(site: Site) -> None:
    for name in HOSTS[:3]:
        assert site.commands(name, etcd.started) == []
        assert site.noop(name) == f"already running: {CONTAINER}"


def test_all_members_of_a_new_cluster_are_started_at_once(site: Site) -> None:
    for name in HOSTS[:3]:
        site.renew(name)
    found = [site.commands(name, etcd.started) for name in HOSTS[:3]]
    assert found == [[FOUNDING, *STARTED]] * 3


def test_a_stopped_member_is_started_with_the_others(site: Site) -> None:
    site.change(TWO, state="exited")
    assert site.commands(TWO, etcd.started) == ["docker start", "restarts()"]


def test_a_member_with_another_specification_is_replaced_only_in_its_turn(site: Site) -> None:
    site.change(TWO, digest="other")
    assert site.commands(TWO, etcd.started) == []
    assert site.commands(TWO) == ["docker rm", "docker run", "restarts()"]


@pytest.mark.parametrize("lose", [Site.lose, Site.renew], ids=["data lost", "new"])
def test_a_host_that_joins_is_not_started_with_the_others(site: Site, lose: Any) -> None:
    """It would found a cluster of its own."""
    lose(site, TWO)
    assert site.commands(TWO, etcd.started) == []
    assert site.noop(TWO) == "it joins the others"


# --- members as specified ---


def test_a_member_that_runs_as_specified_is_left_alone(site: Site) -> None:
    for name in HOSTS[:3]:
        assert site.commands(name) == []
        assert site.noop(name) == f"{CONTAINER} runs as specified and is healthy"
    assert site.events == []


@pytest.mark.parametrize("lose", [Site.lose, Site.renew], ids=["data lost", "new"])
@pytest.mark.parametrize("name", HOSTS[:3])
def test_a_host_without_data_is_announced_before_it_starts(
    site: Site, lose: Any, name: str
) -> None:
    lose(site, name)
    assert site.commands(name) == ["_announce", JOINING, *STARTED]


def test_an_empty_volume_is_no_data(site: Site) -> None:
    """A killed run has made it."""
    site.lose(TWO)
    site.volumes[TWO] = (FoundVolume(CONTAINER, {}, empty=True),)
    site.plan = site.begun(site.plan)
    assert site.commands(TWO)[0] == "_announce"


def test_another_services_volume_is_no_data_of_etcds(site: Site) -> None:
    site.lose(TWO)
    site.volumes[TWO] = (FoundVolume("quaylab-database", {}),)
    site.plan = site.begun(site.plan)
    assert site.commands(TWO)[0] == "_announce"


def test_a_new_cluster_whose_first_run_was_killed_announces_nobody(site: Site) -> None:
    """The first host has data, but alone it is no majority."""
    for name in (TWO, THREE):
        site.renew(name)
    site.has_majority = False
    for name in (TWO, THREE):
        assert site.commands(name, etcd.started) == STARTED
        assert site.commands(name) == STARTED


def test_in_a_first_run_members_that_it_has_started_are_not_announced(site: Site) -> None:
    """When the run began, nobody had data."""
    before = {name: clustered.report(name) for name in HOSTS[:3]}
    site.plan = dataclasses.replace(site.plan, machines=before)
    for name in HOSTS[:3]:
        assert site.commands(name) == []


def test_one_that_the_run_has_started_is_not_announced_among_members_with_data(site: Site) -> None:
    """As after a first run that was killed: the last host came up, and now all are a majority."""
    site.volumes.pop(THREE)
    site.plan = site.begun(site.plan)
    assert site.commands(THREE) == []


# --- announcing ---


def test_a_new_host_is_added(site: Site) -> None:
    site.renew(TWO)
    assert site.announce(TWO)
    assert site.events == [f"{ONE}: add {TWO} {_url(TWO)}"]


def test_a_host_that_has_lost_its_data_takes_its_own_place(site: Site) -> None:
    """etcd would refuse it as the former member: it could vote twice."""
    site.lose(TWO)
    assert site.announce(TWO)
    assert site.events == [f"{ONE}: remove id1", f"{ONE}: add {TWO} {_url(TWO)}"]
    assert [each.id for each in site.members] == ["id0", "id2", "new"]


def test_a_host_that_a_killed_run_has_announced_is_not_announced_again(site: Site) -> None:
    site.renew(TWO)
    site.members.append(EtcdMember("new", "", _url(TWO)))
    assert site.announce(TWO)
    assert site.events == []


def test_a_run_that_was_killed_after_it_removed_the_former_member_is_finished(site: Site) -> None:
    site.lose(TWO)
    site.members = [each for each in site.members if each.name != TWO]
    assert site.announce(TWO)
    assert site.events == [f"{ONE}: add {TWO} {_url(TWO)}"]


def test_a_member_that_does_not_answer_is_not_told(site: Site) -> None:
    site.renew(TWO)
    site.hosts[ONE].silent = True
    assert site.announce(TWO)
    assert site.events == [f"{THREE}: add {TWO} {_url(TWO)}"]


def test_a_member_that_takes_no_part_is_not_told(site: Site) -> None:
    site.renew(TWO)
    site.leave_out(ONE)
    assert site.announce(TWO)
    assert site.events == [f"{THREE}: add {TWO} {_url(TWO)}"]


def test_a_majority_that_is_lost_meanwhile(site: Site) -> None:
    site.renew(TWO)
    command, *_ = site.hosts[TWO].operate(etcd.as_specified, plan=site.plan)
    site.has_majority = False
    assert not site.hosts[TWO].call(command)
    assert site.complaint == etcd.NO_MAJORITY


def test_a_refusal_names_the_former_member_that_is_in_the_way(site: Site) -> None:
    site.renew(TWO)
    site.members.append(OLD)
    site.refused = {"add": UNHEALTHY}
    assert not site.announce(TWO)
    assert site.complaint == (
        f"etcd takes no new member: {UNHEALTHY}; old.example.com is a member still, and in no "
        "group: have it forgotten first, by tasks/forget_member.py --data forget=old.example.com"
    )


def test_a_refusal_names_a_former_member_that_never_started_by_its_address(site: Site) -> None:
    site.renew(TWO)
    site.members.append(NEVER)
    site.refused = {"add": UNHEALTHY}
    assert not site.announce(TWO)
    assert site.complaint.endswith("tasks/forget_member.py --data forget=192.168.254.98")


@pytest.mark.parametrize("former", [(), (EtcdMember("new", "", _url(THREE)),)], ids=str)
def test_a_refusal_without_a_former_member(site: Site, former: tuple[EtcdMember, ...]) -> None:
    """One without a name has been announced for a host, and is not in the way."""
    site.renew(TWO)
    site.members += former
    site.refused = {"add": UNHEALTHY}
    assert not site.announce(TWO)
    assert site.complaint == f"etcd takes no new member: {UNHEALTHY}"


def test_a_member_that_cannot_be_removed_is_not_added(site: Site) -> None:
    site.lose(TWO)
    site.refused = {"remove": "Error: etcdserver: no"}
    assert not site.announce(TWO)
    assert site.events == [f"{ONE}: remove id1"]
    assert site.complaint == "etcd takes no new member: Error: etcdserver: no"


def test_etcd_that_has_just_taken_another_member_is_asked_again(site: Site) -> None:
    site.renew(TWO)
    site.refused, site.refuses = {"add": UNHEALTHY}, 5
    assert site.announce(TWO)
    assert {*site.events} == {f"{ONE}: add {TWO} {_url(TWO)}"}
    assert 5 <= site.slept < 7


def test_etcd_that_stays_unhealthy_is_not_asked_for_ever(site: Site) -> None:
    site.renew(TWO)
    site.refused = {"add": UNHEALTHY}
    assert not site.announce(TWO)
    assert 15 <= site.slept < 17


@pytest.mark.parametrize("announced", [True, False])
def test_a_host_with_another_address_takes_the_place_of_its_name(
    site: Site, announced: bool
) -> None:
    """As a new machine with the lost one's name."""
    site.renew(TWO)
    site.members.append(EtcdMember("01d", TWO, "https://192.168.254.99:2380"))
    added = [f"{ONE}: add {TWO} {_url(TWO)}"]
    if announced:
        site.members.append(EtcdMember("new", "", _url(TWO)))
        added = []
    assert site.announce(TWO)
    assert site.events == [f"{ONE}: remove 01d", *added]


# --- data of no member: of a first start without the others, or of one that was forgotten ---


def _unjoined(site: Site, name: str) -> None:
    """Have a host be announced, and have data that is no member's."""
    site.members = [each for each in site.members if each.name != name]
    site.members.append(EtcdMember("0e4", "", _url(name)))
    site.hosts[name].silent = True


def test_what_it_has_made_alone_is_removed_before_it_joins_anew(site: Site) -> None:
    """It may have voted by its former identity, so it gets another one."""
    _unjoined(site, TWO)
    assert site.commands(TWO, etcd.data_of_no_member_removed) == ["docker rm", "volume rm"]
    assert site.commands(TWO, etcd.started) == []
    assert site.commands(TWO)[:2] == ["_announce", JOINING]
    assert site.announce(TWO)
    assert site.events == [f"{ONE}: remove 0e4", f"{ONE}: add {TWO} {_url(TWO)}"]


def test_a_host_that_was_forgotten_and_is_back_joins_anew(site: Site) -> None:
    """etcd refuses to start with its data: "the member has been permanently removed"."""
    site.members = [each for each in site.members if each.name != TWO]
    site.hosts[TWO].silent = True
    assert site.commands(TWO, etcd.data_of_no_member_removed) == ["docker rm", "volume rm"]
    assert site.commands(TWO, etcd.started) == []
    assert site.commands(TWO)[:2] == ["_announce", JOINING]
    assert site.announce(TWO)
    assert site.events == [f"{ONE}: add {TWO} {_url(TWO)}"]


@pytest.mark.parametrize(
    "changes",
    [{"peer_url": "https://192.168.254.99:2380"}, {"name": "former.example.com"}],
    ids=["another address", "another name"],
)
def test_a_member_that_is_known_otherwise_is_not_forgotten(
    site: Site, changes: dict[str, str]
) -> None:
    site.members[1] = dataclasses.replace(site.members[1], **changes)
    site.hosts[TWO].silent = True
    assert site.commands(TWO, etcd.data_of_no_member_removed) == []


@pytest.mark.parametrize("what", ["it answers", "it has a name", "no majority"])
@pytest.mark.parametrize("is_announced", [True, False])
def test_the_data_of_a_member_is_never_removed(site: Site, what: str, is_announced: bool) -> None:
    if what != "it has a name":
        _unjoined(site, TWO)
        site.members = site.members[: 3 if is_announced else 2]
    site.hosts[TWO].silent = what != "it answers"
    site.has_majority = what != "no majority"
    assert site.commands(TWO, etcd.data_of_no_member_removed) == []
    assert site.noop(TWO) == "etcd's data is a member's"


# --- another address ---


def _at_another_address(site: Site, name: str) -> None:
    site.members = [
        dataclasses.replace(each, peer_url="https://192.168.254.99:2480")
        if each.name == name
        else each
        for each in site.members
    ]


@pytest.mark.parametrize("silent", [True, False])
def test_a_new_address_is_told_before_the_container_has_it(site: Site, silent: bool) -> None:
    """Else the others would look for it at the former one, and with the second member nobody would
    be a majority any more."""
    _at_another_address(site, ONE)
    site.change(ONE, digest="other")
    site.hosts[ONE].silent = silent
    assert site.commands(ONE) == ["_tell_address", "docker rm", "docker run", "restarts()"]
    command, *_ = site.hosts[ONE].operate(etcd.as_specified, plan=site.plan)
    assert site.hosts[ONE].call(command)
    assert site.events == [f"{TWO if silent else ONE}: update id0 {_url(ONE)}"]
    assert site.members[0].peer_url == _url(ONE)


def test_a_member_is_not_moved_without_the_others(site: Site) -> None:
    _at_another_address(site, ONE)
    command, *_ = site.hosts[ONE].operate(etcd.as_specified, plan=site.plan)
    site.refused = {"update": "Error: etcdserver: no"}
    assert not site.hosts[ONE].call(command)
    assert site.complaint == "etcd takes no other address: Error: etcdserver: no"
    site.has_majority = False
    assert not site.hosts[ONE].call(command)
    assert site.hosts[ONE].messages[1] == etcd.NO_MAJORITY


# --- a majority that is lost ---


def _lose_majority(site: Site) -> None:
    """Have two hosts lose etcd's data alone; the third one's member does not answer."""
    for name in (TWO, THREE):
        site.lose(name)
        site.volumes[name] = (FoundVolume("quaylab-database", {}),)
    site.has_majority = False
    site.plan = site.begun(site.plan)


def test_members_are_not_started_beside_one_that_takes_no_other(site: Site) -> None:
    _lose_majority(site)
    with pytest.raises(Refusal) as refused:
        etcd.refuse_lost_majority(site.plan)
    assert refused.value.problems == (
        f"etcd: its data is only on {ONE}, which is no majority, and not on {TWO}, {THREE}; bring "
        "back the machines that have it, or follow "
        "docs/high-availability.md#when-etcds-data-is-gone",
    )


def test_neither_are_new_machines_in_the_place_of_two(site: Site) -> None:
    """Patroni has run on the third one, so the cluster was complete."""
    _lose_majority(site)
    for name in (TWO, THREE):
        site.lose(name)
    etcd.refuse_lost_majority(site.plan)  # as after a first run that was killed
    member = site.plan.workload("database", ONE).container
    containers = {**site.engines[ONE].containers, member.name: state(member)}
    site.engines[ONE] = dataclasses.replace(site.engines[ONE], containers=containers)
    site.plan = site.begun(site.plan)
    with pytest.raises(Refusal):
        etcd.refuse_lost_majority(site.plan)


@pytest.mark.parametrize("what", ["answers", "stopped", "all have data", "all lost"])
def test_a_majority_that_is_there_or_may_come_back(site: Site, what: str) -> None:
    _lose_majority(site)
    if what == "answers":
        site.has_majority = True
    if what == "stopped":
        site.change(ONE, state="exited")
    for name in HOSTS[:3] if what.startswith("all") else ():
        site.volumes[name] = (FoundVolume(CONTAINER, {}, empty=what == "all lost"),)
    site.plan = site.begun(site.plan)
    etcd.refuse_lost_majority(site.plan)


# --- before a member of the database is touched ---


def _may_touch(site: Site, name: str) -> bool:
    return site.hosts[name].call(FunctionCommand(etcd.await_majority, (site.plan,), {}))


def test_the_database_goes_on_with_the_majority_that_another_host_knows(site: Site) -> None:
    site.hosts[ONE].silent = True
    assert _may_touch(site, ONE)
    assert site.slept == 0


def test_without_a_majority_the_database_is_left_as_it_is(site: Site) -> None:
    site.has_majority = False
    assert not _may_touch(site, ONE)
    assert 15 <= site.slept < 17
    assert site.complaint == (
        f"{ONE} keeps its database as it is: etcd does not answer; a majority of its members has "
        "to run; ./lab up starts all of them"
    )


# --- reboots ---


def _may_reboot(site: Site, name: str) -> bool:
    return site.hosts[name].call(FunctionCommand(etcd.require_majority, (site.plan,), {}))


def test_a_machine_may_reboot_while_the_others_are_a_majority(site: Site) -> None:
    """Also one whose own member does not run, and one whose others take no part in the run."""
    site.well_after = 20
    assert _may_reboot(site, TWO)
    assert 20 <= site.slept < 22
    site.hosts[TWO].silent = True
    assert _may_reboot(site, TWO)
    for name in (ONE, THREE):
        site.leave_out(name)
    site.hosts[TWO].silent = False
    assert _may_reboot(site, TWO)


def test_a_machine_without_which_nobody_is_a_majority_stays_on(site: Site) -> None:
    site.hosts[ONE].silent = True
    assert not _may_reboot(site, TWO)
    assert site.complaint == (
        f"{TWO} stays on: without it 1 of 3 members of etcd answer, which is no majority; repair "
        "the others first"
    )


# --- members in no group ---


def test_members_in_no_group_are_known_by_name_or_address(site: Site) -> None:
    assert etcd.unknown_members(site.plan) == []
    site.members += [OLD, NEVER]
    assert etcd.unknown_members(site.plan) == [OLD.name, "192.168.254.98"]


def test_a_host_with_another_name_is_still_known_by_its_address(site: Site) -> None:
    site.members[1] = dataclasses.replace(site.members[1], name="former.example.com")
    assert etcd.unknown_members(site.plan) == []


def test_without_a_majority_nobody_is_unknown(site: Site) -> None:
    site.has_majority = False
    assert etcd.unknown_members(site.plan) == []


# --- forgetting ---


def _forgotten(site: Site, member: str) -> list[str]:
    return site.hosts[ONE].shell(etcd.forgotten, plan=site.plan, member=member)


def test_a_member_is_forgotten(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.members.append(OLD)
    (command,) = _forgotten(site, OLD.name)
    assert f"{OLD.name}: erase it before it is switched on again" in caplog.text
    assert command.startswith(f"docker exec {CONTAINER} sh -c ")
    assert command.endswith("etcdctl member remove 01d'")


def test_who_is_no_member_is_not_forgotten(site: Site) -> None:
    """Another one is lost, who may have the name of a host, and is meant."""
    for name, named in (("old.example.com", f"{OLD.name}, {ONE}"), (TWO, ONE)):
        site.members[3:] = [dataclasses.replace(OLD, name=name)]
        (command,) = _forgotten(site, "odl.example.com")
        assert f"forget: odl.example.com is no member; members are {named}" in command
        assert command.endswith("exit 1")


def test_who_is_forgotten_already_is_no_failure(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a run that was killed once it had removed the member."""
    assert _forgotten(site, OLD.name) == []
    assert f"{OLD.name} is no member any more, nor is another lost host" in caplog.text


def test_one_that_never_started_is_forgotten_by_its_address(site: Site) -> None:
    """It would have told its name when it started."""
    site.members.append(NEVER)
    (command,) = _forgotten(site, "four.example.com")
    assert "the one at 192.168.254.98 has never started" in command
    assert "--data forget=192.168.254.98" in command
    assert command.endswith("exit 1")
    (command,) = _forgotten(site, "192.168.254.98")
    assert command.endswith("etcdctl member remove 0e4'")


def test_one_that_has_started_is_forgotten_by_its_address_as_well(site: Site) -> None:
    """A new machine may have its name."""
    site.members.append(dataclasses.replace(OLD, name=TWO))
    (command,) = _forgotten(site, "192.168.254.99")
    assert command.endswith("etcdctl member remove 01d'")


def test_an_address_of_ip_version_6_is_one_as_well(site: Site) -> None:
    site.members.append(dataclasses.replace(NEVER, peer_url="https://[fd00::22]:2380"))
    (command,) = _forgotten(site, member_name("fd00::22"))
    assert command.endswith("etcdctl member remove 0e4'")


def test_without_a_majority_nobody_is_forgotten(site: Site) -> None:
    site.has_majority = False
    (command,) = _forgotten(site, OLD.name)
    assert "forget: etcd does not answer; a majority of its members has to run" in command
    assert command.endswith("exit 1")


def _forget(store: Store, name: str | None, number: int = 3) -> str:
    hosts = clustered.inventory(number, forget=name)
    return etcd.member_to_forget(clustered.made(store, hosts))


@pytest.mark.parametrize(
    ("name", "member"),
    [("old.example.com", "old.example.com"), ("node4", "node4"), ("@ssh/node4", "_ssh_node4")],
)
def test_the_member_to_forget(store: Store, name: str, member: str) -> None:
    assert _forget(store, name) == member


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, "forget: not set; name the lost host: --data forget=HOST"),
        (TWO, f"forget: {TWO} is in group `database`; take it out of the inventory first"),
        (ADDRESSES[TWO], f"forget: {ADDRESSES[TWO]} is the address of a host in group `database`"),
    ],
    ids=["not set", "a member", "a member's address"],
)
def test_who_is_not_forgotten(store: Store, name: str | None, message: str) -> None:
    with pytest.raises(DeployError, match=re.escape(message)):
        _forget(store, name)


def test_a_single_database_has_nobody_to_forget(lab: Plan) -> None:
    with pytest.raises(DeployError, match="forget: group `database` has no cluster"):
        etcd.member_to_forget(lab)


def test_a_host_is_not_forgotten_by_its_name_as_a_member_either(site: Site) -> None:
    """The names differ if a host's has characters that HAProxy does not take."""
    topology = site.plan.topology
    hosts = {**topology.hosts, "database": ("@ssh/one", "@ssh/two", "@ssh/three")}
    plan = dataclasses.replace(
        site.plan,
        topology=dataclasses.replace(topology, hosts=hosts),
        settings=site.plan.settings.model_copy(update={"forget": "_ssh_two"}),
    )
    with pytest.raises(DeployError, match="forget: _ssh_two is in group `database`"):
        etcd.member_to_forget(plan)


@pytest.mark.parametrize(
    ("silent", "place"), [((), ONE), ((ONE,), TWO), ((ONE, TWO), THREE)], ids=str
)
def test_who_answers_has_a_member_forgotten(
    site: Site, silent: tuple[str, ...], place: str
) -> None:
    for name in silent:
        site.hosts[name].silent = True
    assert etcd.answering(site.plan) == place


def test_a_new_first_host_is_not_asked(site: Site) -> None:
    """It has come in the place of the lost one, and has no etcd yet."""
    site.renew(ONE)
    assert etcd.answering(site.plan) == TWO


def test_a_first_host_that_takes_no_part_is_not_asked(site: Site) -> None:
    site.leave_out(ONE)
    assert etcd.answering(site.plan) == TWO


def test_nobody_answers(site: Site) -> None:
    site.has_majority = False
    with pytest.raises(DeployError, match="forget: etcd does not answer; a majority of its"):
        etcd.answering(site.plan)
