"""Three balancers and three nodes of Quay's on three machines, under counted pushes and pulls."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from facts.balancer import Balancer
from tests.ha.load import Counts, Load
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, wait_until

ASK = (
    "docker exec quaylab-balancer /etc/quaylab/balancer/ask-haproxy /run/haproxy-admin.sock {} 2>&1"
)
# Seconds in which no client may be without an answer when a node, a balancer or a machine is lost:
# 4 were measured, and twice the goal of 5 is a fault also on a busy machine.
GAP = 10


def test_second_run_changes_nothing(deployed: Deployment) -> None:
    assert deployed.run().changed() == []


def test_dry_run_plans_nothing(deployed: Deployment) -> None:
    assert deployed.run("deploy.py", "--dry").planned() == []


def test_hosts_pass_their_own_tests(deployed: Deployment) -> None:
    deployed.verify()


def test_rolling_upgrade_loses_no_request(deployed: Deployment, load: Load) -> None:
    """The schema is migrated while the old nodes serve, and each node is drained before it goes."""
    with load.running() as counts:
        changed = deployed.run("deploy.py", "--data", "quay_version=v3.18.0").changed()
    _assert_unnoticed(counts, load)
    assert [host for name, host in changed if "as specified" in name] == ["one", "two", "three"]


def test_reload_keeps_connections_and_what_others_drained(
    upgraded: Deployment, machines: list[Machine], load: Load
) -> None:
    drained = machines[1]
    drained.run(ASK.format("set server quay/three state drain"))
    with load.running() as counts:
        changed = upgraded.run("deploy.py", "--data", "quay_http_port=8080").changed()
    _assert_unnoticed(counts, load)
    assert sorted({name for name, _ in changed}) == [
        "tasks/quay.py | Tell HAProxy about the nodes",
        "tasks/quay.py | Write HAProxy's configuration",
    ]
    assert "three drained" in _servers(drained)
    drained.run(ASK.format("set server quay/three state ready"))
    assert upgraded.run().changed()
    assert upgraded.run().changed() == []


def _killed_node(machine: Machine) -> None:
    _kill_container(machine, "quaylab-quay")


def _killed_haproxy(machine: Machine) -> None:
    _kill_container(machine, "quaylab-balancer")


def _kill_container(machine: Machine, name: str) -> None:
    """Kill its first process. After `docker kill` the engine would not start it again."""
    machine.run(f"kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' {name})")


def _killed_keepalived(machine: Machine) -> None:
    machine.run("pkill -KILL keepalived")


@pytest.mark.parametrize("fault", [_killed_node, _killed_haproxy, _killed_keepalived])
def test_a_killed_daemon_is_not_missed(
    upgraded: Deployment,
    machines: list[Machine],
    address: str,
    load: Load,
    fault: Callable[[Machine], None],
) -> None:
    """Nothing acknowledged is lost, and it comes back by itself."""
    machine = _holder(machines, address)
    with load.running() as counts:
        time.sleep(5)
        fault(machine)
        time.sleep(15)
    _assert_survived(counts, load)
    wait_until(lambda: _is_whole(machines), "all nodes are in service again", timeout=120)
    assert upgraded.run().changed() == []


def test_a_lost_machine_is_not_missed(
    upgraded: Deployment, machines: list[Machine], address: str, load: Load
) -> None:
    """The power of the machine that holds the address fails; a run leaves it out."""
    lost = _holder(machines, address, not_on=machines[0])
    with load.running() as counts:
        time.sleep(5)
        lost.kill()
        time.sleep(15)
    _assert_survived(counts, load)
    assert upgraded.run("deploy.py", "--exclude", lost.name).changed() == []
    lost.start()
    wait_until(lambda: _is_whole(machines), "all nodes are in service again", timeout=120)
    assert upgraded.run().changed() == []


def test_a_machine_without_network_is_not_missed(
    upgraded: Deployment, machines: list[Machine], address: str, load: Load
) -> None:
    cut = _holder(machines, address, not_on=machines[0])
    with load.running() as counts:
        time.sleep(5)
        with cut.without_carrier():
            time.sleep(15)
    _assert_survived(counts, load)
    wait_until(lambda: _is_whole(machines), "all nodes are in service again", timeout=120)
    assert upgraded.run().changed() == []


def _assert_unnoticed(counts: Counts, load: Load) -> None:
    """Assert that a planned change was noticed by nobody."""
    print(f"{counts}")
    assert counts.failed_requests == []
    assert counts.failed_operations == []
    assert counts.pulls
    assert load.lost(counts) == []


def _assert_survived(counts: Counts, load: Load) -> None:
    """Assert that clients who try twice noticed nothing, and nobody was without an answer long."""
    print(f"{counts}")
    assert counts.failed_operations == []
    assert counts.pulls
    assert counts.gap <= GAP
    assert load.lost(counts) == []


def _holder(machines: list[Machine], address: str, not_on: Machine | None = None) -> Machine:
    """Return the machine that holds the virtual address, after moving it from ``not_on``."""
    if not_on and _holds(not_on, address):
        not_on.run("systemctl restart quaylab-keepalived")
        wait_until(lambda: not _holds(not_on, address), "the address moves")
    wait_until(lambda: any(_holds(each, address) for each in machines), "one has the address")
    return next(each for each in machines if _holds(each, address))


def _holds(machine: Machine, address: str) -> bool:
    return f"{address}/" in machine.run("ip -4 -oneline address show", check=False).stdout


def _is_whole(machines: list[Machine]) -> bool:
    return all(_servers(machine).count("in service") == len(machines) for machine in machines)


def _servers(machine: Machine) -> str:
    """Return what a balancer says of the nodes, by the fact that a run uses."""
    fact = Balancer()
    output = machine.run(fact.command(container="quaylab-balancer"), check=False).stdout
    state = fact.process(output.splitlines())
    return ", ".join(f"{name} {server}" for name, server in state.servers.items()) if state else ""
