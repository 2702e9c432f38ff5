"""Three balancers and three nodes of Quay's on three machines, under counted pushes and pulls."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.ha.cluster import Cluster
from tests.ha.faults import (
    assert_nothing_left,
    assert_survived,
    assert_unnoticed,
    holder,
    is_whole,
    kill_container,
    kill_keepalived,
    servers,
)
from tests.ha.load import TIMEOUT, Load
from tests.machine.deployment import Deployment
from tests.machine.drifting import VERIFY
from tests.machine.machines import Machine, wait_until

ASK = "exec quaylab-balancer /etc/quaylab/balancer/ask-haproxy /run/haproxy-admin.sock"


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
    assert_unnoticed(counts, load)
    assert [host for name, host in changed if "as specified" in name] == ["one", "two", "three"]


def test_reload_keeps_connections_and_what_others_drained(
    upgraded: Deployment, machines: list[Machine], load: Load
) -> None:
    drained = machines[1]
    drained.run(f"{drained.engine} {ASK} set server quay/three state drain 2>&1")
    with load.running() as counts:
        changed = upgraded.run("deploy.py", "--data", "quay_http_port=8080").changed()
    assert_unnoticed(counts, load)
    assert sorted({name for name, _ in changed}) == [
        "tasks/quay.py | Tell HAProxy about the nodes",
        "tasks/quay.py | Write HAProxy's configuration",
    ]
    assert "three drained" in servers(drained)
    drained.run(f"{drained.engine} {ASK} set server quay/three state ready 2>&1")
    assert upgraded.run().changed()
    assert upgraded.run().changed() == []


@pytest.mark.long
def test_every_container_is_replaced_and_nobody_notices(
    upgraded: Deployment, cluster: Cluster, machines: list[Machine], load: Load
) -> None:
    """New connections wait while the database's leader and the address move, and HAProxy ends those
    that clients keep."""
    with load.running(TIMEOUT) as counts:
        changed = upgraded.run("deploy.py", "--data", "container_log_files=4").changed()
    assert_unnoticed(counts, load)
    replaced = [name for name, _ in changed if "balancer.py | Run HAProxy" in name]
    assert len(replaced) == len(machines)
    upgraded.run().check()
    cluster.await_whole()


def _killed_node(machine: Machine) -> None:
    kill_container(machine, "quaylab-quay")


def _killed_haproxy(machine: Machine) -> None:
    kill_container(machine, "quaylab-balancer")


def _killed_router(machine: Machine) -> None:
    kill_container(machine, "quaylab-router")


# A lost machine, below, takes its node with it, and moves the address.
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(_killed_node, marks=pytest.mark.long),
        _killed_haproxy,
        pytest.param(kill_keepalived, marks=pytest.mark.long),
        pytest.param(_killed_router, marks=pytest.mark.long),
    ],
)
def test_a_killed_daemon_is_not_missed(
    upgraded: Deployment,
    machines: list[Machine],
    address: str,
    load: Load,
    fault: Callable[[Machine], None],
) -> None:
    """Nothing acknowledged is lost, and it comes back by itself."""
    machine = holder(machines, address)
    with load.running() as counts:
        load.await_pull()
        fault(machine)
        time.sleep(15)
    assert_survived(counts, load)
    wait_until(lambda: is_whole(machines), "all nodes are in service again", timeout=120)
    assert_nothing_left(upgraded)


def test_a_lost_machine_is_not_missed(
    upgraded: Deployment, cluster: Cluster, machines: list[Machine], address: str, load: Load
) -> None:
    """The power of the machine that holds the address fails; a run leaves it out, and verifies
    another node if the lost one is the first. The loss of the database's leader is another test's.
    """
    lost = holder(machines, address, not_on=cluster.leader)
    with load.running() as counts:
        load.await_pull()
        lost.kill()
        time.sleep(15)
    assert_survived(counts, load)
    changed = upgraded.run("deploy.py", "--exclude", lost.name).changed()
    verified = [(VERIFY, machines[1].name)] if lost is machines[0] else []
    assert changed in ([], verified)
    lost.start()
    wait_until(lambda: is_whole(machines), "all nodes are in service again", timeout=120)
    cluster.await_whole()
    assert_nothing_left(upgraded)


@pytest.mark.long  # the database's leader without network is a test of its own
def test_a_machine_without_network_is_not_missed(
    upgraded: Deployment, cluster: Cluster, machines: list[Machine], address: str, load: Load
) -> None:
    cut = holder(machines, address, not_on=cluster.leader)
    with load.running() as counts:
        load.await_pull()
        with cut.without_carrier():
            time.sleep(15)
    assert_survived(counts, load)
    wait_until(lambda: is_whole(machines), "all nodes are in service again", timeout=120)
    cluster.await_whole()
    assert_nothing_left(upgraded)
