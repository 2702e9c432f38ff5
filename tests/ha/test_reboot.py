"""All machines reboot, one after the other, under counted pushes and pulls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ha.cluster import Cluster
from tests.ha.faults import assert_nothing_left, assert_unnoticed, is_whole
from tests.ha.load import TIMEOUT, Load
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, run, wait_until


@pytest.mark.long
def test_machines_reboot_one_after_the_other(
    upgraded: Deployment, machines: list[Machine], cluster: Cluster, load: Load
) -> None:
    """No request fails: new connections wait while the database's leader and the address move. The
    machine that leads is the last."""
    leader, before = cluster.leader, [_boot(machine) for machine in machines]
    with _switched_on_again(machines), load.running(TIMEOUT) as counts:
        changed = upgraded.run("tasks/reboot.py").changed()
    assert_unnoticed(counts, load)
    assert [host for _, host in changed][-1] == leader.name
    assert not set(before) & {_boot(machine) for machine in machines}
    wait_until(lambda: is_whole(machines), "all nodes are in service again", timeout=120)
    assert_nothing_left(upgraded)


def _boot(machine: Machine) -> str:
    return run("docker", "inspect", "--format", "{{.State.StartedAt}}", machine.container).stdout


@contextmanager
def _switched_on_again(machines: list[Machine]) -> Iterator[None]:
    """Start a machine that has shut down: one that is a container does not by itself."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            for machine in machines:
                state = run("docker", "inspect", "--format", "{{.State.Status}}", machine.container)
                if state.stdout.strip() == "exited":
                    run("docker", "start", machine.container)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()
