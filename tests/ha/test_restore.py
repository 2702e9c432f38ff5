"""Dumps of the database's cluster: restored where they are, and into a new cluster."""

from __future__ import annotations

import pytest

from tests.ha.cluster import Cluster
from tests.ha.faults import is_whole
from tests.ha.load import Load, RequestFailed
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, wait_until
from tests.machine.page import commands

BEFORE = "v3.15.1"


@pytest.mark.long
def test_an_upgrade_is_undone_wherever_the_dump_is(
    upgraded: Deployment, machines: list[Machine], cluster: Cluster, load: Load
) -> None:
    """Even on a member that doesn't lead. What was pushed before the upgrade is there."""
    place = next(machine for machine in machines if _dumps(machine))
    if cluster.leader == place:
        cluster.switch_over()
        cluster.await_whole()
    upgraded.run("tasks/restore_database.py").check()
    assert cluster.leader == place
    cluster.await_whole()
    upgraded.run("deploy.py", "--data", f"quay_version={BEFORE}").check()
    wait_until(lambda: is_whole(machines), "all nodes are in service", timeout=120)
    with load.running() as counts:
        pass
    assert counts.pushed
    assert load.lost(counts) == []
    upgraded.run().check()
    assert upgraded.run().changed() == []


@pytest.mark.long
# The page's commands are Docker's.
@pytest.mark.parametrize("engine", ["docker"], indirect=True, scope="session")
def test_another_major_version_by_the_commands_of_the_page(
    upgraded: Deployment, machines: list[Machine], cluster: Cluster, load: Load
) -> None:
    """Into a new cluster of the same version, and again: no PostgreSQL 18 with TLS is in reach."""
    stop, _ = commands("operation.md", "Stopping Quay")
    dump, aside, forget, restore, _, remove = commands("upgrade.md", "Another major version")
    with load.running() as before:
        load.await_pull()
    for machine in machines:
        machine.run(stop)
    upgraded.run(dump.split()[-1]).check()
    for machine in machines:
        machine.run(aside)
        machine.run(forget)
    upgraded.run(restore.split()[-1]).check()
    cluster.await_whole()
    upgraded.run().check()
    wait_until(lambda: is_whole(machines), "all nodes are in service", timeout=120)
    assert before.pushed
    assert load.lost(before) == []
    with load.running() as after:
        pass
    assert after.pushed
    assert upgraded.run().changed() == []

    for machine in machines:
        machine.run(stop)
    for machine in machines:
        machine.run(remove)
        machine.run(forget)
    upgraded.run(restore.split()[-1]).check()
    upgraded.run().check()
    wait_until(lambda: is_whole(machines), "all nodes are in service", timeout=120)
    assert load.lost(before) == []
    with pytest.raises(RequestFailed, match="HTTP 404"):
        load.lost(after)
    assert upgraded.run().changed() == []


def _dumps(machine: Machine) -> str:
    return machine.run("ls /var/lib/quaylab/dumps/*.dump", check=False).stdout
