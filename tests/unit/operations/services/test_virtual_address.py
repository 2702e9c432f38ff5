"""The virtual address: which balancer holds it, and when it moves."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import FunctionCommand

from facts.containers import Engine
from facts.keepalived import AddressInUse
from operations.services import virtual_address
from quaylab.engines.state import NOTHING as NOTHING_RUNS
from quaylab.plan import Plan
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Store
from tests.unit import balanced
from tests.unit.balanced import BALANCERS, VIRTUAL
from tests.unit.fake_host import FakeHost
from tests.unit.fronted import running
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
    assert functions == [virtual_address.give_away] * moves


def test_the_balancer_with_the_address_is_the_last_one(lab: Plan) -> None:
    holder = dataclasses.replace(lab.machines[LB1], own_addresses=frozenset({VIRTUAL}))
    held = dataclasses.replace(lab, machines={**lab.machines, LB1: holder})
    assert virtual_address.holder_last(held, (LB1, LB2)) == (LB2, LB1)
    assert virtual_address.holder_last(lab, (LB1, LB2)) == (LB1, LB2)


def test_an_address_is_free_until_a_balancer_holds_it(lab: Plan, store: Store) -> None:
    assert virtual_address.is_free(lab)
    assert not virtual_address.is_free(running(lab, LB2, "balancer", VIRTUAL))
    assert not virtual_address.is_free(balanced.made(store)), "there is none"


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
