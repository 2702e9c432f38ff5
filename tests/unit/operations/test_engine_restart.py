"""Docker restarts on one host after the other, and each first hands over what it does."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand, StringCommand

from facts.docker import Daemon, DaemonState
from facts.files import Paths
from facts.machine import EngineInfo
from operations import engine_restart
from operations.engines import docker
from operations.services import patroni
from quaylab.engines.state import NOTHING, Engine, EngineState
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit import clustered, fronted, states
from tests.unit.clustered import HOSTS, ONE, THREE, TWO
from tests.unit.fake_host import FakeHost, text

PROXY = "http://proxy.example.com:3128"
ANSWERS = Engine("26.1.5", "/var/lib/docker", None)
PARTS = ("etcd", "database", "redis", "router", "balancer", "quay")


def _running(plan: Plan, name: str, **changes: Any) -> EngineState:
    containers = {
        each.container.name: states.state(each.container) for each in plan.workloads_of(name)
    }
    if changes:
        containers["quaylab-database"] = dataclasses.replace(
            containers["quaylab-database"], **changes
        )
    return dataclasses.replace(NOTHING, containers=containers)


def _changed(plan: Plan, name: str, **changes: Any) -> Plan:
    machines = {**plan.machines, name: dataclasses.replace(plan.machines[name], **changes)}
    return dataclasses.replace(plan, machines=machines)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeHost]:
    facts: dict[Any, Any] = {Daemon: DaemonState(True, True), EngineInfo: ANSWERS, Paths: []}
    found = {name: FakeHost(facts, name) for name in (*HOSTS[:3], *fronted.CEPH)}
    inventory = SimpleNamespace(get_host=found.__getitem__)
    monkeypatch.setattr(engine_restart, "inventory", inventory)
    monkeypatch.setattr(patroni, "leader_last", lambda plan, names: tuple(names))
    return found


def _made(store: Store, **data: Any) -> Plan:
    """Return the plan of a run with a new proxy on three hosts that run everything."""
    plan = clustered.made(store, clustered.inventory(https_proxy=PROXY, **data))
    for name in HOSTS[:3]:
        plan = _changed(plan, name, engine=ANSWERS, state=_running(plan, name))
    return plan


def _steps(plan: Plan, host: FakeHost) -> list[str]:
    words = []
    for command in host.operate(engine_restart.restarted, plan=plan):
        if isinstance(command, FunctionCommand):
            words.append(command.function.__name__)
            continue
        assert isinstance(command, StringCommand)
        line = text(command)
        known = ("systemctl restart docker", "does not become healthy", "systemctl enable")
        words.append(next(each for each in known if each in line))
    return words


def test_each_host_that_serves_has_its_turn(store: Store, hosts: dict[str, FakeHost]) -> None:
    plan = _made(store)
    assert engine_restart.due(plan) == HOSTS[:3]
    engine_restart.announce(plan)
    assert hosts[TWO].messages == [
        f"Docker on {TWO} will be restarted with another proxy, and so all its containers"
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": None},
        {"engine": dataclasses.replace(ANSWERS, version=None)},
        {"engine": dataclasses.replace(ANSWERS, live_restore=True)},
        {"engine": dataclasses.replace(ANSWERS, proxies=("", PROXY, ""))},
        {"state": NOTHING},
        {"systemd": False},
    ],
    ids=["new", "stopped", "containers keep running", "the same", "nothing runs", "no systemd"],
)
def test_others_start_it_at_once(
    store: Store, hosts: dict[str, FakeHost], changes: dict[str, Any]
) -> None:
    plan = _changed(_made(store), TWO, **changes)
    assert engine_restart.due(plan) == (ONE, THREE)


@pytest.mark.parametrize(("left", "due"), [([docker.PROXY_FILE], (TWO,)), ([], ())])
def test_a_proxy_that_is_no_longer_set(
    store: Store, hosts: dict[str, FakeHost], left: list[str], due: tuple[str, ...]
) -> None:
    """Another one is the host's own."""
    plan = clustered.made(store)
    engine = dataclasses.replace(ANSWERS, proxies=("", PROXY, ""))
    plan = _changed(plan, TWO, engine=engine, state=_running(plan, TWO))
    hosts[TWO].facts[Paths] = left
    assert engine_restart.due(plan) == due


def test_a_host_hands_over_before_and_serves_after_its_restart(
    store: Store, hosts: dict[str, FakeHost]
) -> None:
    assert _steps(_made(store), hosts[TWO]) == [
        *("require_majority", "require_other_members"),
        *("fail_over_if_possible", "hand_over", "withdraw"),
        *("systemctl enable", "systemctl restart docker"),
        *["does not become healthy"] * len(PARTS),
        *("await_member", "await_successor", "put_back"),
    ]


def test_a_container_that_was_not_healthy_is_not_waited_for(
    store: Store, hosts: dict[str, FakeHost]
) -> None:
    """This run may repair it."""
    plan = _made(store)
    plan = _changed(plan, TWO, state=_running(plan, TWO, health="unhealthy"))
    waits = [each for each in _steps(plan, hosts[TWO]) if "healthy" in each]
    assert len(waits) == len(PARTS) - 1


def test_a_single_database_that_is_to_grow_has_no_members_yet(
    store: Store, hosts: dict[str, FakeHost]
) -> None:
    plan = _made(store)
    plan = _changed(plan, ONE, state=_running(plan, ONE, command=("run-postgresql",)))
    steps = _steps(plan, hosts[ONE])
    assert not {"require_majority", "hand_over", "await_member"} & {*steps}
    assert "systemctl restart docker" in steps


@pytest.mark.parametrize("clusters", [frozenset({"0-0-0-0-0"}), frozenset[str]()])
def test_a_host_of_cephadms(
    store: Store, hosts: dict[str, FakeHost], clusters: frozenset[str]
) -> None:
    plan = fronted.made(store, https_proxy=PROXY)
    name = fronted.CEPH[1]
    plan = _changed(plan, name, engine=ANSWERS, ceph=clusters)
    assert engine_restart.due(plan) == ((name,) if clusters else ())
