"""Two Quay containers behind a balancer on one machine: an upgrade that no client notices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ha.conftest import NEEDED
from tests.ha.load import Load
from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, MachineFactory, Operator


@pytest.fixture(scope="module")
def single(
    machine_factory: MachineFactory,
    operator: Operator,
    engine: ImageName,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """A registry of one container, without a balancer."""
    machine = engines.machine(machine_factory, "single", engine, images, NEEDED)
    groups = {group: [machine] for group in ("quay", "database", "redis")}
    single = Deployment.of(
        operator,
        tmp_path_factory.mktemp("single"),
        groups,
        quay_version="v3.15.1",
        quay_workers=1,
        minimum_memory_mb=512,
        **engines.settings(engine),
    )
    single.run().check()
    yield single
    single.forget()
    machine.destroy()


def _load(lab: Deployment) -> Load:
    address = lab.machines["quay"].address
    return Load(address, HOSTNAME, lab.ca, ADMIN, lab.password)


def test_a_balancer_is_added_and_then_an_upgrade_loses_no_request(single: Deployment) -> None:
    """What was pushed before is still there."""
    load = _load(single)
    with load.running() as before:
        load.await_pull()
    inventory = single.inventory.read_text()
    quay = next(line for line in inventory.splitlines() if line.startswith("quay = "))
    single.inventory.write_text(f"{inventory}\n{quay.replace('quay', 'balancer', 1)}\n")
    settings = single.inventory.parent / "group_data" / "all.py"
    settings.write_text(f"{settings.read_text()}quay_instances = 2\n")
    single.run().check()
    assert single.run().changed() == []
    with load.running() as counts:
        single.run("deploy.py", "--data", "quay_version=v3.18.0").check()
    assert counts.failed_requests == []
    assert counts.failed_operations == []
    assert counts.pulls
    assert before.pushed and counts.pushed
    assert load.lost(before) == load.lost(counts) == []
    assert single.run("deploy.py", "--data", "quay_version=v3.18.0").changed() == []
