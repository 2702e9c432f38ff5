"""HAProxy loads its configuration by a reload, which closes no connection."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from pyinfra.connectors.util import CommandOutput, OutputLine

from facts.balancer import Balancer, BalancerState, Server
from facts.keepalived import Keepalived
from operations.runtime import waiting
from operations.runtime.observation import question
from operations.services import balancers
from quaylab.engines import DOCKER
from quaylab.plan import Plan
from quaylab.secrets.certificates import ServerCertificate
from quaylab.secrets.credentials import Store
from quaylab.services import balancer, haproxy_config
from tests.unit import balanced
from tests.unit.balanced import BALANCERS, VIRTUAL
from tests.unit.fake_host import FakeHost, text
from tests.unit.shell import Shell
from tests.unit.states import engine

LB1, LB2, LB3 = BALANCERS
CONTAINER = "quaylab-balancer"


@pytest.fixture
def lab(store: Store) -> Plan:
    """The plan of two balancers, in place of one host's."""
    return balanced.made(store)


def _wanted(lab: Plan) -> str:
    return balancers.wanted_digest(lab, LB1)


def _loaded(lab: Plan, state: BalancerState | None, executing: bool = True) -> FakeHost:
    found = FakeHost({Balancer: state}, LB1)
    found.executing = executing
    return found


# --- loading ---


def test_what_is_loaded_is_not_loaded_again(lab: Plan) -> None:
    host = _loaded(lab, BalancerState(_wanted(lab), {}))
    assert host.shell(balancers.loaded, plan=lab) == []
    assert host.noops == ["HAProxy runs with its present configuration"]


def test_while_planning_an_haproxy_that_does_not_run_is_not_asked(lab: Plan) -> None:
    host = _loaded(lab, None, executing=False)
    assert host.shell(balancers.loaded, plan=lab) == []
    assert host.noops == ["asked when the run has started HAProxy"]


@pytest.mark.parametrize("executing", [True, False])
def test_another_configuration_is_loaded(lab: Plan, executing: bool) -> None:
    host = _loaded(lab, BalancerState("0123456789abcdef", {}), executing)
    (command,) = host.shell(balancers.loaded, plan=lab)
    assert command.startswith(f"docker exec {CONTAINER} sh -c ")
    assert _wanted(lab) in command


@pytest.mark.parametrize("certificate", ["certificate", "node_certificate"])
def test_a_new_certificate_is_loaded_as_well(lab: Plan, certificate: str) -> None:
    changed = ServerCertificate("another one", SecretStr("its key"), "its CA")
    changes: dict[str, Any] = {certificate: changed}
    context = dataclasses.replace(lab, **changes)
    *_, configuration = balancer.reloadable_files(context, LB1)
    assert haproxy_config.loaded_digest(configuration.content) != _wanted(lab)


def test_each_balancer_has_a_digest_of_its_own(lab: Plan) -> None:
    assert _wanted(lab) != balancers.wanted_digest(lab, LB2)


class Reload:
    """The reload's script in a real shell, with stubs for HAProxy, its socket and its signal."""

    def __init__(self, lab: Plan, shell: Shell, folder: Path) -> None:
        self.shell, self.wanted, self.states = shell, _wanted(lab), folder / "states"
        host = _loaded(lab, BalancerState("0123456789abcdef", {}))
        (command,) = host.operate(balancers.loaded, plan=lab)
        self.script = text(command)
        for before, after in {
            # Signal 1 is the container's HAProxy; here it would be this machine's first process.
            "kill -USR2 1": "reload",
            f"{balancer.DIRECTORY}/{balancer.ASK} {haproxy_config.SOCKET}": "ask",
            haproxy_config.STATES: str(self.states),
        }.items():
            assert before in self.script
            self.script = self.script.replace(before, after)
        shell.stub("docker", f'test "$1 $2" = "exec {CONTAINER}" && shift 2 && "$@"')
        shell.stub("reload", f"cat {self.states}")
        shell.stub("haproxy", "")
        self.answer(self.wanted)

    def answer(self, digest: str) -> None:
        self.shell.stub(
            "ask",
            'case "$*" in\n'
            "  'show servers state') echo states ;;\n"
            f"  'show info') echo 'Name: HAProxy'; echo 'description: {digest}' ;;\n"
            "esac",
        )

    @property
    def calls(self) -> list[str]:
        return [call for call in self.shell.calls if not call.startswith("docker")]


@pytest.fixture
def reload(lab: Plan, shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reload:
    monkeypatch.setattr(balancers, "RELOAD", 1)
    return Reload(lab, shell, tmp_path)


def test_nodes_states_are_kept_over_a_reload(reload: Reload) -> None:
    done = reload.shell.run(reload.script)
    assert (done.returncode, done.stdout) == (0, "states\n"), done.stderr
    assert reload.calls == [
        "haproxy -c -f /etc/quaylab/balancer/haproxy.cfg",
        "ask show servers state",
        "reload ",
        "ask show info",
        # The states have the former addresses and ports.
        "ask set server quay/quay1.example.com addr 192.168.254.31 port 8443",
        "ask set server quay/quay2.example.com addr 192.168.254.32 port 8443",
    ]
    assert not reload.states.exists(), "a later start would load old states"


def test_a_configuration_that_haproxy_refuses_is_not_loaded(reload: Reload) -> None:
    reload.shell.stub("haproxy", "echo 'unknown keyword' >&2; exit 1")
    done = reload.shell.run(reload.script)
    assert done.returncode == 1
    assert "unknown keyword" in done.stderr
    assert reload.calls == ["haproxy -c -f /etc/quaylab/balancer/haproxy.cfg"]


@pytest.mark.parametrize("digest", ["0123456789abcdef", ""], ids=["the old one", "none"])
def test_a_reload_that_does_not_come(reload: Reload, digest: str) -> None:
    reload.answer(digest)
    done = reload.shell.run(reload.script)
    assert done.returncode == 1
    assert done.stderr == ("HAProxy did not load /etc/quaylab/balancer/haproxy.cfg within 1 s\n")
    assert not reload.states.exists()


def test_a_longer_digest_is_another_one(reload: Reload) -> None:
    reload.answer(f"{reload.wanted}0")
    assert reload.shell.run(reload.script).returncode == 1


# --- questions ---


def test_a_host_that_is_no_balancer_is_asked_nothing(lab: Plan) -> None:
    assert balancers.questions(lab, "quay1.example.com") == ([], [])


def test_haproxy_is_asked_only_if_it_is_there(lab: Plan) -> None:
    keepalived = question(Keepalived)
    assert balancers.questions(lab, LB1) == ([keepalived], [])
    found = engine(lab.workload("balancer", LB1).container)
    machines = {**lab.machines, LB1: dataclasses.replace(lab.machines[LB1], state=found)}
    running = dataclasses.replace(lab, machines=machines)
    haproxy = question(Balancer, container=CONTAINER)
    assert balancers.questions(running, LB1) == ([keepalived, haproxy], [])


def test_files_of_keepalived_are_compared(store: Store) -> None:
    plan = balanced.made(store, virtual_address=VIRTUAL)
    assert balancers.questions(plan, LB1)[1] == [
        "/etc/quaylab/keepalived/keepalived.conf",
        "/etc/quaylab/keepalived/check",
        "/etc/systemd/system/quaylab-keepalived.service",
    ]


# --- other hosts' balancers ---


def test_only_balancers_that_take_part_are_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = balanced.inventory(3)
    machines = {each.name: balanced.report(each.name) for each in hosts if each.name != LB2}
    plan = balanced.made(store, hosts, machines)
    monkeypatch.setattr(balancers, "inventory", SimpleNamespace(get_host=str))
    assert [str(each) for each in balancers.connected(plan)] == [LB1, LB3]


@pytest.mark.parametrize(
    ("state", "done", "seconds"),
    [
        (None, True, 0),
        (BalancerState("", {"quay1": Server(True, False, False, 0)}), True, 0),
        (BalancerState("", {"quay1": Server(False, False, False, 0)}), False, 3),
    ],
    ids=["not running", "as wanted", "never"],
)
def test_await_state(
    monkeypatch: pytest.MonkeyPatch, state: BalancerState | None, done: bool, seconds: int
) -> None:
    slept = [0.0]
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(waiting, "time", clock)
    host = FakeHost({Balancer: state}, LB1)
    found = balancers.await_state(host, lambda at: at.servers["quay1"].in_service, 3)  # type: ignore[arg-type]
    assert found is done
    assert seconds <= sum(slept) <= seconds + 1


def test_hold_commands(store: Store) -> None:
    """What begins a hold is taken back by what ends it."""
    plan = balanced.made(store)
    begin, end = balancers.hold_commands(FakeHost({}, LB1), plan.nodes[:1])  # type: ignore[arg-type]
    server, held = "quay/quay1.example.com", "/etc/quaylab/balancer/held"
    for script, commands in (
        (begin, (f"add acl {held} held", f"disable health {server}")),
        (end, (f"clear acl {held}", f"enable health {server}")),
    ):
        assert script == DOCKER.execute(CONTAINER, "; ".join(map(balancer.ask, commands)))


@pytest.mark.parametrize(
    ("ok", "answer", "done"),
    [(True, [], True), (True, ["No such server."], False), (False, [], False)],
)
def test_set_state(
    monkeypatch: pytest.MonkeyPatch, store: Store, ok: bool, answer: list[str], done: bool
) -> None:
    """HAProxy ends well even if it refuses, and says so."""
    monkeypatch.setattr(balancers, "inventory_arguments", lambda host: {"_sudo": True})
    ran: list[tuple[str, object]] = []

    class Host(FakeHost):
        def run_shell_command(self, command: object, **arguments: object) -> tuple[bool, object]:  # type: ignore[override]
            ran.append((text(command), arguments))
            return ok, CommandOutput([OutputLine("stdout", line) for line in answer])

    plan = balanced.made(store)
    assert balancers.set_state(Host(name=LB1), plan.nodes[0], "drain") is done  # type: ignore[arg-type]
    command = balancer.ask("set server quay/quay1.example.com state drain")
    assert ran == [(DOCKER.execute(CONTAINER, command), {"_sudo": True})]
