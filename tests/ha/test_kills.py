"""Runs on three machines that are killed in any operation: the next one continues from there."""

from __future__ import annotations

import random
import re

import pytest

from tests.ha.cluster import Cluster
from tests.ha.faults import GAP, is_whole
from tests.ha.load import Load
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, wait_until
from tests.machine.running import kill_in

# Operations that replace a container or tell a daemon something, in their order.
OPERATIONS = (
    "tasks/etcd.py | Run etcd as specified",
    "tasks/database.py | Run the database's member as specified",
    "tasks/redis.py | Run Redis",
    "tasks/router.py | Run the router",
    "tasks/quay.py | Tell HAProxy about the nodes",
    "tasks/quay.py | Run Quay as specified: two",
    "tasks/balancer.py | Run HAProxy",
)
# Seconds: from before an operation's first command to after its last, in most of them.
LONGEST = 6
# With a fixed seed, so that a kill that reveals a defect can be repeated.
MOMENTS = random.Random(5)  # noqa: S311


@pytest.mark.long
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_killed_run_is_finished_by_the_next(
    deployed: Deployment,
    machines: list[Machine],
    cluster: Cluster,
    load: Load,
    operation: str,
) -> None:
    """It replaces every container; nothing that was acknowledged meanwhile is lost."""
    _change_every_container(deployed)
    with load.running() as counts:
        kill_in(deployed, operation, after=MOMENTS.uniform(0, LONGEST))
        deployed.run().check()
    print(f"{counts}")
    cluster.await_whole()
    wait_until(lambda: is_whole(machines), "all nodes are in service again", timeout=120)
    assert deployed.run().changed() == []
    assert counts.pulls
    # What a killed run holds, it holds for 20 s.
    assert counts.gap <= 3 * GAP
    assert load.lost(counts) == []


def _change_every_container(lab: Deployment) -> None:
    """Change a setting that is in every container's specification."""
    settings = lab.inventory.parent / "group_data" / "all.py"
    text = settings.read_text()
    before = re.search(r"^container_log_files = (\d+)$", text, re.MULTILINE)
    number = int(before[1]) + 1 if before else 4
    kept = re.sub(r"^container_log_files.*\n", "", text, flags=re.MULTILINE)
    settings.write_text(f"{kept}container_log_files = {number}\n")
