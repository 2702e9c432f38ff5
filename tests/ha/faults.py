"""What the tests of the ha tier share: faults, and what clients may notice of them."""

from __future__ import annotations

from facts.balancer import Balancer
from tests.ha.cluster import DATABASE, answer, inside
from tests.ha.load import Counts, Load
from tests.machine import engines
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, wait_until

# Seconds in which no client may be without an answer when a node, a balancer or a machine is lost:
# 4 were measured, and twice the goal of 5 is a fault also on a busy machine.
GAP = 10


def kill_container(machine: Machine, name: str) -> None:
    """Kill its first process. After `docker kill` the engine would not start it again."""
    machine.run(f"kill -KILL $({machine.engine} inspect --format '{{{{.State.Pid}}}}' {name})")


def kill_postgresql(machine: Machine) -> None:
    """Kill PostgreSQL's first process alone; Patroni goes on."""
    machine.run(inside(machine, "sh -c 'kill -KILL $(head -1 $PGDATA/postmaster.pid)'"))


def kill_patroni(machine: Machine) -> None:
    kill_container(machine, DATABASE)


def kill_keepalived(machine: Machine) -> None:
    machine.run("pkill -KILL keepalived")


def assert_unnoticed(counts: Counts, load: Load) -> None:
    """Assert that a planned change was noticed by nobody."""
    print(f"{counts}")
    assert counts.failed_requests == []
    assert counts.failed_operations == []
    assert counts.pulls
    assert load.lost(counts) == []


def assert_survived(counts: Counts, load: Load) -> None:
    """Assert that clients who try twice noticed nothing, and nobody was without an answer long."""
    print(f"{counts}")
    assert counts.failed_operations == []
    assert counts.pulls
    assert counts.gap <= GAP
    assert counts.gap_of_writes <= GAP
    assert load.lost(counts) == []


def assert_nothing_left(lab: Deployment) -> None:
    """Assert that a run after containers have restarted finds nothing to do but what a restart
    with this engine always leaves."""
    changed = lab.changed()
    assert {*changed} <= {*engines.repeated_after_a_restart(lab.machines["quay"].engine)}


def holder(machines: list[Machine], address: str, not_on: Machine | None = None) -> Machine:
    """Return the machine that holds the virtual address, after moving it from ``not_on``."""
    if not_on and holds(not_on, address):
        not_on.run("systemctl restart quaylab-keepalived")
        wait_until(lambda: not holds(not_on, address), "the address moves")
    wait_until(lambda: any(holds(each, address) for each in machines), "one has the address")
    return next(each for each in machines if holds(each, address))


def holds(machine: Machine, address: str) -> bool:
    return f"{address}/" in machine.run("ip -4 -oneline address show", check=False).stdout


def is_whole(machines: list[Machine]) -> bool:
    return all(servers(machine).count("in service") == len(machines) for machine in machines)


def servers(machine: Machine) -> str:
    """Return what a balancer says of the nodes, by the fact that a run uses."""
    fact = Balancer()
    state = fact.process(answer(machine, fact.command(container="quaylab-balancer")))
    return ", ".join(f"{name} {server}" for name, server in state.servers.items()) if state else ""
