"""The virtual address: which balancer holds it, and when it moves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand
from pyinfra.connectors.util import CommandOutput

from facts.balancer import BalancerState
from facts.containers import Engine
from facts.keepalived import AddressInUse, Keepalived
from operations.services import balancers, virtual_address
from quaylab.engines.state import NOTHING as NOTHING_RUNS
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from quaylab.services.keepalived import UNIT
from tests.unit import balanced
from tests.unit.balanced import BALANCERS, VIRTUAL
from tests.unit.fake_host import FakeHost, text
from tests.unit.fronted import running
from tests.unit.sites import BaseSite
from tests.unit.states import engine

LB1, LB2, _ = BALANCERS


@pytest.fixture
def lab(store: Store) -> Plan:
    """The plan of two balancers with a virtual address, in place of one host's."""
    return balanced.made(store, virtual_address=VIRTUAL)


# --- the address moves ---


@pytest.mark.parametrize(
    ("found", "moves"),
    [
        ({}, False),
        ({"digest": "of another specification"}, True),
        ({"digest": "of another specification", "state": "exited"}, False),
        (None, False),
    ],
)
def test_the_address_moves_before_a_running_haproxy_is_replaced(
    lab: Plan, found: dict[str, Any] | None, moves: bool
) -> None:
    workload = lab.workload("balancer", LB1)
    wanted = workload.container
    present = NOTHING_RUNS if found is None else engine(wanted, **found)
    host = FakeHost({Engine: present}, LB1)
    operation = virtual_address.container_as_specified
    commands = host.operate(operation, plan=lab, workload=workload)
    functions = [each.function for each in commands if isinstance(each, FunctionCommand)]
    assert functions == [virtual_address.fail_over_if_possible] * moves


def test_the_balancer_with_the_address_is_the_last_one(lab: Plan) -> None:
    holder = dataclasses.replace(lab.machines[LB1], own_addresses=frozenset({VIRTUAL}))
    held = dataclasses.replace(lab, machines={**lab.machines, LB1: holder})
    assert virtual_address.holder_last(held, (LB1, LB2)) == (LB2, LB1)
    assert virtual_address.holder_last(lab, (LB1, LB2)) == (LB1, LB2)


def test_an_address_is_free_until_a_balancer_holds_it(lab: Plan, store: Store) -> None:
    assert virtual_address.is_free(lab)
    assert not virtual_address.is_free(running(lab, LB2, "balancer", VIRTUAL))
    assert not virtual_address.is_free(balanced.made(store)), "there is none"


class AddressHost(FakeHost):
    """A balancer, whose keepalived gives the address to the site's heir when it starts anew."""

    def __init__(self, site: Site, name: str) -> None:
        super().__init__({Keepalived: dataclasses.replace(Keepalived.default(), active=True)}, name)
        self.site = site

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        if "address show to" in text(command):
            return self.site.holder == self.name, CommandOutput([])
        assert text(command) == f"systemctl restart {UNIT}"
        assert self.site.holds_connections
        self.site.holder = self.site.heir
        return True, CommandOutput([])


class Site(BaseSite[AddressHost]):
    """Two balancers, of which the first one holds the address."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.holder, self.heir = LB1, LB2
        self.holds_connections = False
        self.warnings: list[str] = []
        self.hosts = {name: AddressHost(self, name) for name in (LB1, LB2)}

    def call(self, function: Any, name: str = LB1) -> bool:
        return self.hosts[name].call(FunctionCommand(function, (self.plan,), {}))


@pytest.fixture
def site(lab: Plan, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(lab)

    @contextmanager
    def held(plan: Plan) -> Iterator[None]:
        site.holds_connections = True
        yield
        site.holds_connections = False

    site.set_clock(monkeypatch)
    monkeypatch.setattr(virtual_address, "new_connections_held", held)
    monkeypatch.setattr(virtual_address, "inventory_arguments", lambda host: {})
    monkeypatch.setattr(virtual_address, "logger", SimpleNamespace(warning=site.warnings.append))
    monkeypatch.setattr(balancers, "inventory", SimpleNamespace(get_host=site.hosts.get))
    monkeypatch.setattr(balancers, "state_of", lambda host: BalancerState("", {}))
    return site


KEPT = f"{LB1} holds the virtual address, and no other balancer takes it over; repair these first"


def test_another_balancer_takes_the_address_over(site: Site) -> None:
    assert site.call(virtual_address.fail_over)
    assert site.holder == LB2
    assert not site.holds_connections


def test_a_balancer_without_the_address_gives_nothing_away(site: Site) -> None:
    assert site.call(virtual_address.fail_over, LB2)
    assert site.holder == LB1


def test_nobody_takes_it_over(site: Site) -> None:
    site.heir = LB1
    assert not site.call(virtual_address.fail_over)
    assert site.hosts[LB1].messages == [KEPT]
    assert virtual_address.TAKE_OVER <= site.slept < virtual_address.TAKE_OVER + 1
    # What may repair the others goes on.
    assert site.call(virtual_address.fail_over_if_possible)
    assert len(site.warnings) == 1


@pytest.mark.parametrize("lack", ["keepalived", "haproxy"])
def test_it_is_kept_if_no_other_balancer_is_ready(
    site: Site, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    if lack == "keepalived":
        site.hosts[LB2].facts[Keepalived] = Keepalived.default()
    else:
        monkeypatch.setattr(balancers, "state_of", lambda host: None)
    assert not site.call(virtual_address.fail_over)
    assert site.holder == LB1
    assert site.slept == 0


def test_one_that_takes_no_part_may_take_it_over(site: Site) -> None:
    """As with --limit: it can't be asked, and this one is without the address."""
    machines = {name: found for name, found in site.plan.machines.items() if name != LB2}
    site.plan = dataclasses.replace(site.plan, machines=machines)
    assert site.call(virtual_address.fail_over)
    site.holder = site.heir = LB1
    assert not site.call(virtual_address.fail_over)


# --- exactly one holds it ---


def _check_holders(site: Site) -> list[str]:
    return site.hosts[LB1].shell(virtual_address.held_once, plan=site.plan)


def test_one_balancer_holds_the_address(site: Site) -> None:
    assert _check_holders(site) == []
    assert site.hosts[LB1].noops == [f"{LB1} holds the address"]
    assert site.slept == 0


def test_both_hold_the_address(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each believes that it is alone."""
    monkeypatch.setattr(virtual_address, "_holds", lambda each, plan: True)
    (command,) = _check_holders(site)
    assert f"{LB1}, {LB2} hold {VIRTUAL} at once" in command
    assert "exit 1" in command
    assert virtual_address.SETTLING <= site.slept < virtual_address.SETTLING + 1


def test_a_holder_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        virtual_address, "_holds", lambda each, plan: site.slept > 5 and each.name == LB2
    )
    assert _check_holders(site) == []
    assert site.hosts[LB1].noops == [f"{LB2} holds the address"]


def test_holders_are_counted_only_if_all_are_connected_and_run(site: Site) -> None:
    site.hosts[LB1].executing = False
    assert _check_holders(site) == []
    site.hosts[LB1].executing = True
    site.leave_out(LB2)
    assert _check_holders(site) == []
    assert site.hosts[LB1].noops == [
        "asked when all balancers run",
        "a balancer takes no part, and may hold the address",
    ]


# --- an address of others ---


def _check(plan: Plan, answers: bool, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    host = FakeHost({AddressInUse: answers}, LB1)
    monkeypatch.setattr(virtual_address, "inventory", SimpleNamespace(get_host={LB1: host}.get))
    virtual_address.check_address(plan)
    return host


def test_another_machines_address_is_refused(lab: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refusal) as refused:
        _check(lab, True, monkeypatch)
    assert refused.value.problems == (
        f"virtual_address: another machine in the network of {LB1} has {VIRTUAL}; choose a free "
        "address",
    )


def test_a_free_address(lab: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _check(lab, False, monkeypatch).asked == [{"address": VIRTUAL}]


@pytest.mark.parametrize("case", ["no address", "ours", "one takes no part", "none takes part"])
def test_nobody_is_asked(
    lab: Plan, store: Store, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    machines = dict(lab.machines)
    if case == "no address":
        lab = balanced.made(store)
    elif case == "ours":
        held = (*machines[LB2].networks, ("eth0", f"{VIRTUAL}/32"))
        machines[LB2] = dataclasses.replace(machines[LB2], networks=held)
    else:
        away = (LB1,) if case == "one takes no part" else (LB1, LB2)
        machines = {name: found for name, found in machines.items() if name not in away}
    host = _check(dataclasses.replace(lab, machines=machines), True, monkeypatch)
    assert host.asked == []
