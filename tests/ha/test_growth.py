"""A run that grows a single database to a cluster, and is killed at its worst moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quaylab.services.patroni import COMMAND
from tests.ha.cluster import DATABASE, Cluster
from tests.ha.conftest import NEEDED
from tests.ha.load import Load
from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def databases(
    machine_factory: MachineFactory, engine: ImageName, images: dict[str, str]
) -> Iterator[list[Machine]]:
    """Machines that are in no cluster yet."""
    names = ("founder", "second", "third")
    machines = machine_factory.together(
        names, lambda name: engines.machine(machine_factory, name, engine, images, NEEDED)
    )
    yield machines
    for machine in machines:
        machine.destroy()


def test_a_growth_that_was_killed_before_the_roles_were_made(
    databases: list[Machine],
    operator: Operator,
    engine: ImageName,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The single database's volume has Quay's role, and lacks those with which others copy it."""
    founder, *_ = databases
    folder = tmp_path_factory.mktemp("growth")
    settings = {
        "quay_version": "v3.15.1",
        "quay_workers": 1,
        "minimum_memory_mb": 512,
        **engines.settings(engine),
    }
    single = {part: [founder] for part in ("quay", "database", "redis")}
    lab = Deployment.of(operator, folder, single, **settings)
    lab.run().check()
    load = Load(founder.address, HOSTNAME, lab.ca, ADMIN, lab.password)
    with load.running() as counts:
        load.await_pull()
    lab = Deployment.of(operator, folder, {**single, "database": databases}, **settings)
    asked = f"{engine} inspect --format '{{{{.Config.Cmd}}}}' {DATABASE}"
    lab.kill(
        "deploy.py",
        when=lambda: COMMAND[0] in founder.run(asked, check=False).stdout,
        within=600,
    )
    lab.run().check()
    Cluster(databases).await_whole()
    assert counts.pushed
    assert load.lost(counts) == []
    assert lab.run().changed() == []
    lab.forget()
