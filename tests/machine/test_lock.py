"""Two runs against one inventory at once, and what becomes of the lock when its holder dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.deployment import Deployment
from tests.machine.machines import MachineFactory, Operator
from tests.machine.observed import IMAGE_OF
from tests.machine.running import running

TASK = "tasks/docker.py"


@pytest.fixture
def lab(
    machine_factory: MachineFactory, operator: Operator, tmp_path: Path
) -> Iterator[Deployment]:
    machine = machine_factory("locked")
    lab = Deployment.of(operator, tmp_path, {part: [machine] for part in IMAGE_OF})
    yield lab
    lab.forget()
    machine.destroy()


def test_second_run_is_refused_and_a_killed_one_holds_nothing(lab: Deployment) -> None:
    with running(lab, TASK) as first:
        assert first.begins("Know the registry's name")
        first.freeze()
        refused = lab.run(TASK)
        assert refused.returncode != 0
        (line,) = [line for line in refused.output.splitlines() if "another run" in line]
        assert str(lab.store.path.relative_to(lab.store.path.parents[1])) in line
        assert "Traceback" not in refused.output
    lab.run(TASK).check()
    assert lab.run(TASK).changed() == []
