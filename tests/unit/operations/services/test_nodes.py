"""Quay's nodes are replaced one at a time, and no balancer is ever left without one."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput

from facts.balancer import Balancer, BalancerState, Server, Withdrawn
from facts.containers import Engine
from operations.engines import containers
from operations.runtime.observation import question
from operations.services import balancers, nodes
from quaylab.engines import DOCKER
from quaylab.engines.podman_report import EDITED
from quaylab.engines.state import EngineState
from quaylab.model import DIGEST_LABEL
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from quaylab.services.quay_nodes import Node
from tests.unit import balanced, clustered
from tests.unit.balanced import BALANCERS, QUAYS
from tests.unit.fake_host import FakeHost, text
from tests.unit.samples import host
from tests.unit.sites import BaseSite
from tests.unit.states import engine, state

LB1, LB2, _ = BALANCERS
QUAY1, QUAY2, _ = QUAYS
NOTE = "/var/lib/quaylab/withdrawn-1"
SERVING = Server(up=True, drained=False, maintained=False, sessions=0)
DRAINED = dataclasses.replace(SERVING, drained=True)
DOWN = dataclasses.replace(SERVING, up=False)
SET = re.compile(r"set server quay/(?P<node>\S+) state (?P<state>drain|ready)")


class BalancerHost(FakeHost):
    """A balancer whose HAProxy has ``servers``, and does what it is told; None: it doesn't run."""

    def __init__(
        self, name: str, servers: dict[str, Server], loaded: str, events: list[str]
    ) -> None:
        super().__init__(name=name)
        self.loaded = loaded
        self.servers: dict[str, Server] | None = servers
        self.events = events
        self.refuses = False
        # How many of its requests a drained node ends in each look at it, and HAProxy of workers.
        self.ends = 1
        self.workers = 1

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        assert fact is Balancer
        assert arguments == {"container": "quaylab-balancer"}
        if self.servers is None:
            return None
        for name, server in self.servers.items():
            left = max(0, server.sessions - self.ends) if server.drained else server.sessions
            self.servers[name] = dataclasses.replace(server, sessions=left)
        self.workers = max(1, self.workers - self.ends)
        return BalancerState(self.loaded, dict(self.servers), self.workers)

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        found = SET.search(text(command))
        assert found and self.servers
        if not self.refuses:
            name = found["node"]
            is_drained = found["state"] == "drain"
            self.servers[name] = dataclasses.replace(self.servers[name], drained=is_drained)
            self.events.append(f"{self.name}: {found['state']} {name}")
        return not self.refuses, CommandOutput([])

    @property
    def in_service(self) -> list[str]:
        assert self.servers is not None
        return [name for name, server in self.servers.items() if server.in_service]


class NodeHost(FakeHost):
    """A host of Quay's with its ``note`` of the balancers in which it is drained."""

    def __init__(self, name: str, facts: dict[Any, Any], events: list[str]) -> None:
        super().__init__(facts, name)
        self.events = events
        self.note: str | None = None
        self.is_full = False

    def get_fact(self, fact: type[FactBase[Any]], *values: Any, **arguments: Any) -> Any:
        if fact is Withdrawn:
            return (self.note or "").splitlines()
        return super().get_fact(fact, *values, **arguments)

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        line = text(command)
        assert NOTE in line
        if "_stdin" in arguments:
            if not self.is_full:
                self.note = base64.b64decode(arguments["_stdin"]).decode()
                self.events.append(f"{self.name}: note {' '.join(self.note.split())}")
            return not self.is_full, CommandOutput([])
        assert line.startswith("rm -f ")
        self.note = None
        self.events.append(f"{self.name}: forget")
        return True, CommandOutput([])


class Site(BaseSite[NodeHost]):
    """Two balancers in front of Quay hosts, on which Quay runs as specified."""

    def __init__(self, plan: Plan) -> None:
        self.events: list[str] = []
        self.warnings: list[str] = []
        self.engines = {name: _engine(plan, name) for name in plan.topology.quay}
        self.plan = self.begun(plan)
        self.balancers = {
            name: BalancerHost(
                name,
                {node.name: SERVING for node in plan.nodes},
                balancers.wanted_digest(plan, name),
                self.events,
            )
            for name in plan.topology.balancers
        }
        self.hosts = {
            name: NodeHost(name, {Engine: found}, self.events)
            for name, found in self.engines.items()
        }

    def begun(self, plan: Plan) -> Plan:
        """Return the plan of a run that found the engines as they are."""
        machines = {}
        for name, found in plan.machines.items():
            engine = self.engines.get(name, found.state)
            labels = {
                container: {DIGEST_LABEL: state.digest} if state.digest else {}
                for container, state in engine.containers.items()
            }
            machines[name] = dataclasses.replace(found, state=engine, containers=labels)
        return dataclasses.replace(plan, machines=machines)

    def change(self, name: str, **changes: Any) -> None:
        """Have a host's first container differ from its specification."""
        first = self.plan.workloads_for("quay", name)[0].container
        containers = {**self.engines[name].containers, first.name: state(first, **changes)}
        self.engines[name] = dataclasses.replace(self.engines[name], containers=containers)
        self.hosts[name].facts[Engine] = self.engines[name]
        self.plan = self.begun(self.plan)

    def node(self, name: str) -> Node:
        return next(node for node in self.plan.nodes if node.name == name)

    def commands(self, name: str) -> list[Any]:
        """Return what the operation yields for a node."""
        node = self.node(name)
        return self.hosts[node.host].operate(nodes.as_specified, plan=self.plan, node=node)

    def withdraw(self, name: str) -> bool:
        return self._call("withdraw", name)

    def put_back(self, name: str) -> bool:
        return self._call("put_back", name)

    def _call(self, function: str, name: str) -> bool:
        node = self.node(name)
        command = FunctionCommand(getattr(nodes, function), (self.plan, node), {})
        return self.hosts[node.host].call(command)


def _engine(plan: Plan, name: str) -> EngineState:
    first, *others = (each.container for each in plan.workloads_for("quay", name))
    found = engine(first)
    return dataclasses.replace(
        found, containers={**found.containers, **{each.name: state(each) for each in others}}
    )


@pytest.fixture
def make(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Site]:
    def make(quays: int = 2, **changes: Any) -> Site:
        site = Site(balanced.made(store, balanced.inventory(2, quays, **changes)))
        hosts = SimpleNamespace(get_host={**site.balancers, **site.hosts}.__getitem__)
        site.set_clock(monkeypatch)
        monkeypatch.setattr(balancers, "inventory", hosts)
        monkeypatch.setattr(balancers, "inventory_arguments", lambda host: {})
        monkeypatch.setattr(nodes, "logger", SimpleNamespace(warning=site.warnings.append))
        return site

    return make


@pytest.fixture
def site(make: Callable[..., Site]) -> Site:
    return make()


def _steps(commands: list[Any]) -> list[str]:
    """Return what each command does, in a word or two."""
    words = []
    for command in commands:
        if isinstance(command, FunctionCommand):
            words.append(command.function.__name__)
            continue
        assert isinstance(command, StringCommand)
        line = text(command).replace(DOCKER.run_words, "docker run")
        known = (
            "supervisorctl",
            "docker rm",
            "docker run",
            "docker restart",
            "docker update",
            "restarts()",
            "python3 -c",
        )
        words.append(next((each for each in known if each in line), line.split()[0]))
    return words


# --- the router, by which nodes reach database and Redis ---


@pytest.mark.parametrize(
    ("quays", "found", "steps"),
    [
        (2, {"digest": "another"}, ["_withdraw_if_others_serve", "docker run", "put_back"]),
        (2, {"state": "exited"}, []),
        (2, {}, []),
        # Requests can go to no other host.
        (1, {"digest": "another"}, ["docker run"]),
    ],
)
def test_a_hosts_nodes_are_drained_while_its_router_is_replaced(
    make: Callable[..., Site], quays: int, found: dict[str, Any], steps: list[str]
) -> None:
    site = make(quays)
    # Any container will do for the router's.
    router = site.plan.workload("quay", QUAY1)
    site.change(QUAY1, **found)
    commands = site.hosts[QUAY1].operate(nodes.router_as_specified, plan=site.plan, router=router)
    known = ("_withdraw_if_others_serve", "docker run", "put_back")
    assert [step for step in _steps(commands) if step in known] == steps


@pytest.mark.parametrize("others", [SERVING, DRAINED, DOWN])
def test_a_host_is_drained_only_if_another_ones_node_serves(
    make: Callable[..., Site], others: Server
) -> None:
    """Else the run would stop before it repairs those."""
    site = make()
    mine = nodes.drainable_nodes(site.plan, QUAY1)
    other = {node.name: others for node in site.plan.nodes if node not in mine}
    for each in site.balancers.values():
        assert each.servers
        each.servers.update(other)
    command = FunctionCommand(nodes._withdraw_if_others_serve, (site.plan, mine), {})
    assert site.hosts[QUAY1].call(command)
    is_drained = others is SERVING
    for each in site.balancers.values():
        assert each.servers
        assert all(each.servers[node.name].drained is is_drained for node in mine)
    warning = f"{QUAY1} is not drained, because no other host's Quay serves"
    assert site.warnings == [warning] * (not is_drained)


# --- nodes that don't run ---


def _nodes_of(plan: Plan) -> dict[str, Any]:
    return {"workloads": plan.workloads_for("quay", QUAY1), "timeout": 60}


def test_nodes_that_run_are_not_started(site: Site) -> None:
    assert site.hosts[QUAY1].shell(containers.started, **_nodes_of(site.plan)) == []
    assert site.hosts[QUAY1].noops == ["already running: quaylab-quay"]


def test_all_containers_of_a_new_host_are_started(make: Callable[..., Site]) -> None:
    plan = make(quay_instances=2).plan
    commands = FakeHost(name=QUAY1).shell(containers.started, **_nodes_of(plan))
    started = [each for each in commands if DOCKER.run_words in each]
    assert [each.partition("--name=")[2].split()[0] for each in started] == [
        "quaylab-quay",
        "quaylab-quay-2",
    ]


def test_only_a_stopped_node_is_started(make: Callable[..., Site]) -> None:
    site = make(quay_instances=2)
    site.change(QUAY1, state="exited")
    start, low, wait, normal, close = site.hosts[QUAY1].shell(
        containers.started, **_nodes_of(site.plan)
    )
    assert start.startswith("docker start") and "quaylab-quay-2" not in start
    assert "does not become healthy" in wait
    # Those that serve on its host need the processors more.
    assert ("--cpu-shares=64 " in low, "--cpu-shares=1024 " in normal) == (True, True)
    assert "python3 -c" in close


# --- what a node needs ---


def test_a_node_that_runs_as_specified_is_left_alone(site: Site) -> None:
    assert site.commands(QUAY1) == []
    assert site.hosts[QUAY1].noops == ["quaylab-quay runs as specified"]
    assert site.events == []


def test_in_a_first_run_nothing_is_drained(make: Callable[..., Site]) -> None:
    """The nodes have been started with all others, and serve nobody yet."""
    site = make()
    before = {name: balanced.report(name) for name in site.plan.machines}
    site.plan = dataclasses.replace(site.plan, machines=before)
    assert site.commands(QUAY1) == []


@pytest.mark.parametrize(
    "change", [{"digest": "other"}, {"image": "other:1"}, {"digest": EDITED}], ids=str
)
def test_a_node_is_replaced_while_the_others_serve(site: Site, change: dict[str, Any]) -> None:
    site.change(QUAY1, **change)
    assert _steps(site.commands(QUAY1)) == [
        "withdraw",
        "supervisorctl",
        "docker rm",
        "docker run",
        "docker update",
        "restarts()",
        "docker update",
        "python3 -c",
        "put_back",
    ]


def test_a_restart_drains_the_node_as_well(site: Site) -> None:
    wanted = site.plan.workloads_for("quay", QUAY1)[0].container
    site.engines[QUAY1] = engine(wanted, written=2000.0)
    site.hosts[QUAY1].facts[Engine] = site.engines[QUAY1]
    site.plan = site.begun(site.plan)
    steps = _steps(site.commands(QUAY1))
    assert (steps[0], steps[-1]) == ("withdraw", "put_back")
    assert "docker restart" in steps


def test_a_change_that_interrupts_nothing_drains_nothing(site: Site) -> None:
    site.change(QUAY1, restart_policy="no")
    assert _steps(site.commands(QUAY1)) == ["docker update", "restarts()", "put_back"]


def test_a_node_that_a_killed_run_has_drained_is_put_back(site: Site) -> None:
    site.hosts[QUAY1].note = f"{LB1}\n"
    assert _steps(site.commands(QUAY1)) == ["put_back"]


def test_each_container_of_a_host_is_a_node_of_its_own(make: Callable[..., Site]) -> None:
    site = make(quay_instances=2)
    site.change(QUAY1, digest="other")
    assert _steps(site.commands(QUAY1))[0] == "withdraw"
    assert site.commands(f"{QUAY1}:2") == []


# --- draining ---


def test_a_node_is_noted_drained_everywhere_and_then_idle(site: Site) -> None:
    servers = site.balancers[LB2].servers
    assert servers
    servers[QUAY1] = dataclasses.replace(SERVING, sessions=5)
    assert site.withdraw(QUAY1)
    assert site.events == [
        f"{QUAY1}: note {LB1} {LB2}",
        f"{LB1}: drain {QUAY1}",
        f"{LB2}: drain {QUAY1}",
    ]
    assert servers[QUAY1] == DRAINED
    assert site.slept > 0
    assert site.warnings == []


def test_the_only_node_in_service_is_never_drained(site: Site) -> None:
    servers = site.balancers[LB2].servers
    assert servers
    servers[QUAY2] = DOWN
    assert not site.withdraw(QUAY1)
    assert site.complaint == (
        f"{QUAY1} is the only node that {LB2} has in service: {QUAY2} is down; repair these first"
    )
    assert site.events == [], "not in the other balancer either"


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (dataclasses.replace(DRAINED, sessions=3), "drained, 3 requests left"),
        (dataclasses.replace(SERVING, maintained=True), "in maintenance"),
    ],
    ids=["drained", "in maintenance"],
)
def test_what_others_have_drained_does_not_serve(site: Site, server: Server, words: str) -> None:
    servers = site.balancers[LB1].servers
    assert servers
    servers[QUAY2] = server
    site.balancers[LB1].ends = 0
    assert not site.withdraw(QUAY1)
    assert f"has in service: {QUAY2} is {words}; repair these first" in site.complaint


def test_a_single_node_is_drained(make: Callable[..., Site]) -> None:
    """It can't be replaced otherwise."""
    site = make(quays=1)
    assert site.withdraw(QUAY1)
    assert f"{LB1}: drain {QUAY1}" in site.events


@pytest.mark.parametrize(
    "server", [DRAINED, DOWN, dataclasses.replace(SERVING, maintained=True)], ids=str
)
def test_a_node_that_others_have_drained_is_not_noted(site: Site, server: Server) -> None:
    for each in site.balancers.values():
        each.servers = {QUAY1: server, QUAY2: SERVING}
    assert site.withdraw(QUAY1)
    assert site.events == []
    assert site.put_back(QUAY1)
    assert site.balancers[LB1].servers == {QUAY1: server, QUAY2: SERVING}


def test_where_others_have_drained_a_node_it_stays_drained(site: Site) -> None:
    servers = site.balancers[LB1].servers
    assert servers
    servers[QUAY1] = DRAINED
    assert site.withdraw(QUAY1)
    assert site.put_back(QUAY1)
    assert site.balancers[LB1].in_service == [QUAY2]
    assert site.balancers[LB2].in_service == [QUAY1, QUAY2]


@pytest.mark.parametrize("servers", [None, {QUAY2: SERVING}], ids=["stopped", "new node"])
def test_a_balancer_that_sends_it_nothing_is_not_asked(
    site: Site, servers: dict[str, Server] | None
) -> None:
    site.balancers[LB1].servers = servers
    assert site.withdraw(QUAY1)
    assert site.events == [f"{QUAY1}: note {LB2}", f"{LB2}: drain {QUAY1}"]


def test_requests_from_before_a_reload_are_waited_for(site: Site) -> None:
    """HAProxy's present process does not know them."""
    site.balancers[LB1].workers = 10
    assert site.withdraw(QUAY1)
    assert site.balancers[LB1].workers == 1
    assert site.warnings == []


def test_requests_that_do_not_end_are_cut(site: Site) -> None:
    servers = site.balancers[LB1].servers
    assert servers
    servers[QUAY1] = dataclasses.replace(SERVING, sessions=2)
    site.balancers[LB1].ends = 0
    assert site.withdraw(QUAY1)
    seconds = site.plan.settings.health_timeout
    assert site.warnings == [
        f"{QUAY1} still answers requests of {LB1} after {seconds} s; they are cut"
    ]
    assert seconds <= site.slept < seconds + 2


def test_a_balancer_that_takes_no_part_is_named(site: Site) -> None:
    site.leave_out(LB2)
    assert site.withdraw(QUAY1)
    assert site.warnings == [f"{LB2} takes no part, so {QUAY1} is not drained there"]
    assert site.balancers[LB2].in_service == [QUAY1, QUAY2]


def test_without_its_note_a_node_is_not_drained(site: Site) -> None:
    site.hosts[QUAY1].is_full = True
    assert not site.withdraw(QUAY1)
    assert site.complaint == f"{NOTE} can't be written"
    assert site.events == []


def test_a_balancer_that_refuses_to_drain(site: Site) -> None:
    site.balancers[LB2].refuses = True
    assert not site.withdraw(QUAY1)
    assert site.complaint == f"HAProxy on {LB2} refuses to drain {QUAY1}"
    assert site.hosts[QUAY1].note == f"{LB1}\n{LB2}\n", "so that the next run puts it back"


# --- putting back ---


def test_a_node_is_put_back_where_it_was_drained(site: Site) -> None:
    assert site.withdraw(QUAY1)
    site.events.clear()
    assert site.put_back(QUAY1)
    assert site.events == [
        f"{LB1}: ready {QUAY1}",
        f"{LB2}: ready {QUAY1}",
        f"{QUAY1}: forget",
    ]
    for each in site.balancers.values():
        assert each.in_service == [QUAY1, QUAY2]


def test_a_killed_run_is_finished_with_what_it_has_noted(site: Site) -> None:
    servers = site.balancers[LB1].servers
    assert servers
    servers[QUAY1] = DRAINED
    site.hosts[QUAY1].note = f"{LB1}\n"
    assert site.put_back(QUAY1)
    assert f"{LB1}: ready {QUAY1}" in site.events
    assert not [event for event in site.events if event.startswith(LB2)]
    assert site.hosts[QUAY1].note is None


def test_haproxy_that_does_not_run_has_forgotten_the_drain(site: Site) -> None:
    site.hosts[QUAY1].note = f"{LB1}\n"
    site.balancers[LB1].servers = None
    assert site.put_back(QUAY1)
    assert site.events == [f"{QUAY1}: forget"]


def test_a_balancer_that_does_not_see_the_node(site: Site) -> None:
    servers = site.balancers[LB1].servers
    assert servers
    servers[QUAY1] = dataclasses.replace(DRAINED, up=False)
    site.hosts[QUAY1].note = f"{LB1}\n"
    assert not site.put_back(QUAY1)
    assert site.complaint == (
        f"{QUAY1} is healthy, but {LB1} does not see it at 192.168.254.31:8443; look at the "
        "firewall between the two"
    )
    assert site.hosts[QUAY1].note == f"{LB1}\n", "so that the next run goes on"


def test_a_balancer_that_refuses_to_use_it(site: Site) -> None:
    site.hosts[QUAY1].note = f"{LB1}\n"
    site.balancers[LB1].refuses = True
    assert not site.put_back(QUAY1)
    assert site.complaint == f"HAProxy on {LB1} refuses to use {QUAY1}"


def test_a_run_that_was_killed_between_two_drains_is_finished(site: Site) -> None:
    servers = site.balancers[LB1].servers
    assert servers
    servers[QUAY1] = DRAINED
    site.hosts[QUAY1].note = f"{LB1}\n{LB2}\n"
    site.change(QUAY1, digest="other")
    assert site.withdraw(QUAY1)
    assert site.put_back(QUAY1)
    assert site.balancers[LB1].in_service == [QUAY1, QUAY2]


def test_a_balancer_that_takes_no_part_is_still_noted(site: Site) -> None:
    assert site.withdraw(QUAY1)
    everything = site.plan
    site.leave_out(LB2)
    assert site.put_back(QUAY1)
    assert site.hosts[QUAY1].note == f"{LB2}\n"
    assert site.commands(QUAY1) == [], "nothing can be done about it without that balancer"
    site.plan = everything
    assert site.put_back(QUAY1)
    assert site.balancers[LB2].in_service == [QUAY1, QUAY2]


# --- what balancers must know as well ---


def test_all_nodes_get_another_port(site: Site) -> None:
    """Balancers are told first, and find nobody there until the first node is replaced."""
    for each in site.balancers.values():
        each.servers = {QUAY1: DOWN, QUAY2: DOWN}
    for name in (QUAY1, QUAY2):
        assert site.withdraw(name)
        for each in site.balancers.values():
            assert each.servers
            each.servers[name] = SERVING
        assert site.put_back(name)
    assert site.events == [f"{QUAY1}: forget", f"{QUAY2}: forget"]


def test_a_note_of_a_node_that_balancers_do_not_know_blocks_nothing(site: Site) -> None:
    """It was removed from their configuration, and has come back since."""
    site.hosts[QUAY1].note = f"{LB1}\n"
    site.balancers[LB1].servers = {QUAY2: SERVING}
    assert site.put_back(QUAY1)
    assert site.hosts[QUAY1].note is None


def test_another_node_that_has_just_started_is_waited_for(site: Site) -> None:
    balancer = site.balancers[LB1]
    balancer.servers = {QUAY1: SERVING, QUAY2: DOWN}
    original = balancer.get_fact

    def later(*arguments: Any, **named: Any) -> Any:
        if site.slept > 2:
            balancer.servers = {**(balancer.servers or {}), QUAY2: SERVING}
        return original(*arguments, **named)

    balancer.get_fact = later  # type: ignore[method-assign]
    assert site.withdraw(QUAY1)
    assert f"{LB1}: drain {QUAY1}" in site.events


# --- the whole ---


@contextmanager
def _watched(site: Site) -> Iterator[list[int]]:
    """Yield the numbers of nodes in service after each change of a balancer."""
    counts: list[int] = []
    for each in site.balancers.values():
        change = each.run_shell_command

        def counting(
            command: object,
            change: Callable[..., tuple[bool, CommandOutput]] = change,
            each: BalancerHost = each,
            **arguments: Any,
        ) -> tuple[bool, CommandOutput]:
            done = change(command, **arguments)
            counts.append(len(each.in_service))
            return done

        each.run_shell_command = counting  # type: ignore[method-assign]
    yield counts


def test_two_of_three_nodes_always_serve(make: Callable[..., Site]) -> None:
    site = make(quays=3)
    for name in QUAYS:
        site.change(name, digest="other")
    with _watched(site) as counts:
        for node in site.plan.nodes:
            functions = [
                each for each in site.commands(node.name) if isinstance(each, FunctionCommand)
            ]
            assert all(site.hosts[node.host].call(each) for each in functions)
    assert sorted(set(counts)) == [2, 3]
    assert len(counts) == 12
    assert [event for event in site.events if event.endswith(": forget")] == [
        f"{name}: forget" for name in QUAYS
    ]


def test_notes_are_asked_for_with_all_other_facts(make: Callable[..., Site]) -> None:
    plan = make(quay_instances=2).plan
    paths = (NOTE, "/var/lib/quaylab/withdrawn-2")
    wanted = [question(Withdrawn, path=path) for path in paths]
    assert nodes.questions(plan, QUAY1) == (wanted, [])
    assert nodes.questions(plan, LB1) == ([], [])


# --- a router that has the port of another container ---

ROUTER = "quaylab-router"


def _shrunk(
    store: Store, before: tuple[int, int], after: tuple[int, int], **data: Any
) -> tuple[Plan, EngineState]:
    """Return the plan for one Quay and so many hosts of database and Redis, on the first of which
    the router runs that other numbers of them needed; and that host's engine."""

    def plan(databases: int, redises: int, **data: Any) -> Plan:
        numbers = {"quay": 1, "database": databases, "redis": redises}
        hosts = [
            host(name, groups, address=clustered.ADDRESSES[name], **data)
            for at, name in enumerate(clustered.HOSTS)
            if (groups := [part for part, number in numbers.items() if at < number])
        ]
        return clustered.made(store, hosts)

    router = plan(*before).workload("router", clustered.ONE).container
    wanted, found = plan(*after, **data), engine(router)
    machine = dataclasses.replace(
        wanted.machines[clustered.ONE],
        state=found,
        containers={router.name: {DIGEST_LABEL: router.digest}},
    )
    machines = {**wanted.machines, clustered.ONE: machine}
    return dataclasses.replace(wanted, machines=machines), found


@pytest.mark.parametrize(
    ("before", "after", "data", "services"),
    [
        ((1, 2), (1, 1), {}, ["redis"]),
        ((3, 2), (3, 1), {}, ["redis"]),
        ((3, 1), (1, 1), {}, ["database"]),
        ((3, 2), (1, 1), {}, ["database", "redis"]),
        ((3, 2), (3, 2), {}, []),
        ((1, 2), (1, 1), {"redis_listen": "0.0.0.0"}, ["redis"]),
        ((1, 2), (1, 1), {"redis_listen": clustered.ADDRESSES[clustered.ONE]}, []),
        ((1, 2), (1, 1), {"redis_port": 6380}, []),
    ],
    ids=str,
)
def test_a_router_may_have_the_port_of_what_had_several_hosts(
    store: Store,
    before: tuple[int, int],
    after: tuple[int, int],
    data: dict[str, Any],
    services: list[str],
) -> None:
    plan, _ = _shrunk(store, before, after, **data)
    found = [
        each for each in ("database", "redis") if nodes.router_has_port(plan, clustered.ONE, each)
    ]
    assert found == services


def test_somebody_elses_container_is_no_router(store: Store) -> None:
    plan, _ = _shrunk(store, (1, 2), (1, 1))
    machine = dataclasses.replace(plan.machines[clustered.ONE], containers={ROUTER: {}})
    plan = dataclasses.replace(plan, machines={**plan.machines, clustered.ONE: machine})
    assert not nodes.router_has_port(plan, clustered.ONE, "redis")


@pytest.mark.parametrize(
    ("after", "steps"),
    [((1, 1), ["docker rm"]), ((3, 1), ["docker rm", "docker run", "restarts()"])],
    ids=["former", "needed"],
)
def test_a_router_gives_up_a_port(store: Store, after: tuple[int, int], steps: list[str]) -> None:
    plan, found = _shrunk(store, (3, 2), after)
    fake = FakeHost({Engine: found}, clustered.ONE)
    commands = _steps(fake.operate(nodes.router_gives_way, plan=plan))
    assert [each for each in commands if each in ("docker rm", "docker run", "restarts()")] == steps


# --- nodes that are none any more ---


def test_a_former_node_is_drained_and_removed(make: Callable[..., Site]) -> None:
    before, after = make(quay_instances=2), make()
    after.engines = before.engines
    after.plan = after.begun(after.plan)
    assert nodes.removes_nodes(after.plan)
    withdraw, remove, forget = after.hosts[QUAY1].operate(nodes.former_removed, plan=after.plan)
    assert isinstance(withdraw, FunctionCommand)
    assert withdraw.function.__name__ == "withdraw"
    assert withdraw.args[1].container == "quaylab-quay-2"
    assert "name=^/quaylab-quay-2$" in text(remove)
    assert text(forget) == "rm -f /var/lib/quaylab/withdrawn-2"


def test_a_host_that_has_left_the_group_has_former_nodes(make: Callable[..., Site]) -> None:
    site = make()
    site.engines[LB1] = site.engines[QUAY1]
    site.plan = site.begun(site.plan)
    assert [node.container for node in nodes.former_nodes_of(site.plan, LB1)] == ["quaylab-quay"]


@pytest.mark.parametrize("digest", [None, ""], ids=["not there", "somebody else's"])
def test_no_former_node(make: Callable[..., Site], digest: str | None) -> None:
    site = make()
    if digest is not None:
        first = site.plan.workloads_for("quay", QUAY1)[0].container
        other = dataclasses.replace(first, name="quaylab-quay-2")
        containers = {**site.engines[QUAY1].containers, other.name: state(other, digest=digest)}
        site.engines[QUAY1] = dataclasses.replace(site.engines[QUAY1], containers=containers)
        site.plan = site.begun(site.plan)
    assert nodes.former_nodes_of(site.plan, QUAY1) == []
    assert not nodes.removes_nodes(site.plan)
