"""Machines reboot one at a time, and each first hands over what it does."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko import SSHException
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.exceptions import DeployError
from pyinfra.api.facts import FactBase
from pyinfra.connectors.local import LocalConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.patroni import Member, Patroni, PatroniState
from operations import reboot
from operations.runtime import host_locks
from operations.services import patroni
from quaylab.plan import Plan
from quaylab.problems import refuse
from quaylab.secrets.credentials import Store
from tests.unit import balanced, clustered, fronted
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.fake_host import FakeHost, text
from tests.unit.shell import Shell
from tests.unit.sites import BaseSite

WAITS = re.compile(r"(\S+) does not become healthy")
PARTS = ("etcd", "database", "redis", "router", "balancer", "quay")


class RebootedHost(FakeHost):
    """A machine that goes down ``down`` seconds after it is told to reboot, and is ``up`` after
    some more; None: it never comes back."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__({}, name)
        self.site = site
        self.connected = True
        self.down = 5
        self.up: int | None = 60
        self.told: float | None = None
        self.tells_boot = True
        # What a command on a connection that was cut raises.
        self.error: Exception = SSHException("SSH session not active")

    @property
    def boot(self) -> int | None:
        """The number of its boot; None while it is down."""
        since = -1.0 if self.told is None else self.site.slept - self.told
        if since < self.down:
            return 1
        return 2 if self.up is not None and since >= self.down + self.up else None

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        assert fact is Patroni
        if self.site.leader is None:
            return None
        return PatroniState(self.name, "", {self.site.leader: Member("leader", "running", 0)}, {})

    def connect(self, show_errors: bool = True) -> None:
        assert not show_errors
        self.connected = self.boot is not None
        if self.connected:
            self.site.events.append(f"answers, boot {self.boot}")

    def disconnect(self) -> None:
        self.connected = False

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        line = text(command)
        if not self.connected or self.boot is None:
            raise self.error
        if line == reboot.REBOOT:
            self.told = self.site.slept
            self.site.events.append("reboot")
            return True, CommandOutput([])
        assert line == reboot.BOOT
        return self.tells_boot, CommandOutput([OutputLine("stdout", f"boot {self.boot}")])


class Site(BaseSite[RebootedHost]):
    """Three hosts that play every part; the first one leads the database."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.leader: str | None = ONE
        self.events: list[str] = []
        self.hosts = {name: RebootedHost(self, name) for name in plan.machines}

    def reboot(self, name: str) -> bool:
        return self.hosts[name].call(FunctionCommand(reboot._reboot, (), {}))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that makes the site of a plan."""

    def use(plan: Plan) -> Site:
        site = Site(plan)
        hosts = SimpleNamespace(get_host=site.hosts.__getitem__)
        site.set_clock(monkeypatch)
        monkeypatch.setattr(reboot, "inventory", hosts)
        monkeypatch.setattr(patroni, "inventory", hosts)
        return site

    return use


@pytest.fixture
def site(store: Store, use: Any) -> Site:
    found: Site = use(clustered.made(store))
    return found


def _steps(site: Site, name: str) -> list[str]:
    """Return what each command does, in a word or two."""
    words = []
    for command in site.hosts[name].operate(reboot.rebooted, plan=site.plan):
        if isinstance(command, FunctionCommand):
            words.append(command.function.__name__)
            continue
        assert isinstance(command, StringCommand)
        if "gateway does not answer" in text(command):
            words.append("gateway")
            continue
        found = WAITS.search(text(command))
        assert found
        words.append(f"wait {found[1].removeprefix(chr(39)).removeprefix('quaylab-')}")
    return words


# --- the order ---


@pytest.mark.parametrize(
    ("leader", "order"),
    [(ONE, (TWO, THREE, ONE)), (TWO, (ONE, THREE, TWO)), (THREE, (ONE, TWO, THREE))],
)
def test_the_machine_that_leads_the_database_is_the_last(
    site: Site, leader: str, order: tuple[str, ...]
) -> None:
    site.leader = leader
    assert reboot.in_order(site.plan) == order


def test_without_a_known_leader_the_order_is_the_inventorys(site: Site) -> None:
    site.leader = None
    assert reboot.in_order(site.plan) == HOSTS[:3]


def test_only_machines_that_take_part_are_rebooted(site: Site) -> None:
    site.leave_out(TWO)
    assert reboot.in_order(site.plan) == (THREE, ONE)


def test_machines_of_a_single_database_reboot_in_the_inventorys_order(
    store: Store, use: Any
) -> None:
    site = use(balanced.made(store))
    assert set(reboot.in_order(site.plan)) == set(site.plan.machines)
    assert not [name for name, host in site.hosts.items() if host.asked]


def test_the_machine_on_which_pyinfra_runs_is_refused_before_any_is_rebooted(site: Site) -> None:
    site.hosts[TWO].connector = LocalConnector.__new__(LocalConnector)
    with pytest.raises(DeployError) as refused:
        reboot.in_order(site.plan)
    assert str(refused.value).splitlines()[1:] == [
        f"  - {TWO}: pyinfra runs on it; leave it out with --exclude, and reboot it by hand"
    ]
    site.leave_out(TWO)
    assert reboot.in_order(site.plan) == (THREE, ONE)


# --- the steps on a machine ---


@pytest.mark.parametrize("name", HOSTS[:3])
def test_a_machine_hands_over_before_and_serves_after_its_reboot(site: Site, name: str) -> None:
    """Whether it leads is known only when it is its turn."""
    steps = _steps(site, name)
    assert steps[:2] == ["require_majority", "require_other_members"]
    assert steps[2:6] == ["fail_over", "hand_over", "withdraw", "_reboot"]
    assert sorted(steps[6:-3]) == sorted(f"wait {part}" for part in PARTS)
    assert steps[-3:] == ["await_member", "await_successor", "put_back"]


def test_a_machine_with_several_nodes_withdraws_all_of_them(store: Store, use: Any) -> None:
    site = use(clustered.made(store, clustered.inventory(quay_instances=2)))
    steps = _steps(site, ONE)
    assert steps[3:7] == ["hand_over", "withdraw", "withdraw", "_reboot"]
    assert steps[-2:] == ["put_back", "put_back"]


def test_a_machine_hands_over_only_what_it_does(store: Store, use: Any) -> None:
    site = use(balanced.made(store))
    assert _steps(site, balanced.DATA) == ["_reboot", "wait database", "wait redis"]
    assert _steps(site, balanced.BALANCERS[0]) == ["fail_over", "_reboot", "wait balancer"]
    assert _steps(site, balanced.QUAYS[0]) == ["withdraw", "_reboot", "wait quay", "put_back"]


def test_ceph_has_all_copies_before_and_after(store: Store, use: Any) -> None:
    """Cephadm's daemons are no workloads of ours, and start after the machine answers."""
    site = use(fronted.made(store))
    steps = _steps(site, "ceph2.example.com")
    assert steps == ["await_clean", "_reboot", "gateway", "await_clean"]


def test_the_only_node_is_not_withdrawn(lab: Plan, use: Any) -> None:
    assert _steps(use(lab), "quay.example.com") == [
        "_reboot",
        "wait database",
        "wait redis",
        "wait quay",
    ]


# --- the reboot ---


def test_a_machine_that_comes_back(site: Site) -> None:
    assert site.reboot(TWO)
    assert 65 <= site.slept < 67
    assert site.hosts[TWO].connected
    assert site.events[0] == "reboot"
    assert site.events[-1] == "answers, boot 2"


@pytest.mark.parametrize("problems", [[], ["another run works on it"]], ids=["free", "held"])
def test_a_machine_that_comes_back_is_locked_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, problems: list[str]
) -> None:
    """Its lock was in /run."""

    def take(host: Any, identity: str, command: str) -> None:
        assert (host.boot, host.name, identity) == (2, TWO, "this run")
        refuse(problems)

    monkeypatch.setattr(host_locks, "_take", take)
    monkeypatch.setattr(host_locks, "_identities", {TWO: "this run"})
    assert site.reboot(TWO) is not bool(problems)
    assert site.hosts[TWO].messages == problems


def test_a_machine_that_answers_before_it_went_down_is_not_taken_for_rebooted(site: Site) -> None:
    site.hosts[TWO].down = 30
    assert site.reboot(TWO)
    assert site.events.count("answers, boot 1") >= 28
    assert 90 <= site.slept < 92


def test_a_machine_that_is_back_before_it_is_looked_at(site: Site) -> None:
    """As one that is a container."""
    site.hosts[TWO].down, site.hosts[TWO].up = 0, 0
    assert site.reboot(TWO)
    assert site.slept == 0


@pytest.mark.parametrize(
    "error",
    [SSHException("SSH session not active"), EOFError(), ConnectionResetError(), TimeoutError()],
    ids=lambda each: type(each).__name__,
)
def test_a_connection_that_is_cut_while_it_goes_down(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    host = site.hosts[TWO]
    host.error = error
    connect = host.connect

    def accepted(show_errors: bool = True) -> None:
        connect(show_errors)
        host.connected = True

    monkeypatch.setattr(host, "connect", accepted)
    assert site.reboot(TWO)
    assert 65 <= site.slept < 67


def test_a_machine_that_does_not_come_back(site: Site) -> None:
    site.hosts[TWO].up = None
    assert not site.reboot(TWO)
    assert site.complaint == f"{TWO} does not come back within 900 s; look at its console"
    assert 900 <= site.slept < 902
    assert not site.hosts[TWO].connected


def test_a_machine_that_ignores_the_command(site: Site) -> None:
    site.hosts[TWO].down = 10000
    assert not site.reboot(TWO)
    assert site.complaint == f"{TWO} does not come back within 900 s; look at its console"


def test_a_machine_of_which_no_boot_is_known_is_not_rebooted(site: Site) -> None:
    """Else its first answer would be taken for another boot."""
    site.hosts[TWO].tells_boot = False
    assert not site.reboot(TWO)
    assert site.events == []
    assert site.complaint == f"{TWO} does not tell since when it runs: {reboot.BOOT}"


# --- its commands ---


def test_a_boot_has_the_kernels_id_and_the_first_processs_start(shell: Shell) -> None:
    kernel, start = shell.lines(reboot.BOOT)
    assert re.fullmatch("[0-9a-f-]{36}", kernel)
    assert re.fullmatch("[0-9]+", start)
    assert shell.lines(reboot.BOOT) == [kernel, start]


def test_the_connection_can_end_before_the_machine_does(shell: Shell) -> None:
    """The command waits for nothing, and keeps no output open."""
    shell.stub("systemctl", "")
    shell.stub("sleep", "exec /bin/sleep 0.2")
    done = shell.run(reboot.REBOOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "systemctl reboot" not in shell.calls
    shell.await_call("systemctl reboot")
    assert shell.calls == ["sleep 1", "systemctl reboot"]
