"""Two runs at once, and the locks of a run that dies or loses its connection."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaylab.clients.tunnel import LOST_AFTER
from quaylab.locks import HOST_LOCK, lock_problem
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, MachineFactory, Operator, wait_until
from tests.machine.observed import IMAGE_OF
from tests.machine.running import running

TASK, OPERATION = "tasks/docker.py", "Resolve the registry's name"
HOLDER = r"\S+ on \S+, process \d+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; wait"


@pytest.fixture(scope="module")
def machine(machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("locked")
    yield machine
    machine.destroy()


def _deployment(operator: Operator, folder: Path, machine: Machine) -> Iterator[Deployment]:
    lab = Deployment.of(operator, folder, {part: [machine] for part in IMAGE_OF})
    yield lab
    lab.forget()


@pytest.fixture
def lab(operator: Operator, tmp_path: Path, machine: Machine) -> Iterator[Deployment]:
    yield from _deployment(operator, tmp_path / "lab", machine)


@pytest.fixture
def other(operator: Operator, tmp_path: Path, machine: Machine) -> Iterator[Deployment]:
    """A deployment of the same machine that shares no file, as from another folder or machine."""
    yield from _deployment(operator, tmp_path / "other", machine)


def test_second_run_is_refused_and_a_killed_one_leaves_no_lock(lab: Deployment) -> None:
    with running(lab, TASK) as first:
        assert first.reaches(OPERATION)
        first.freeze()
        refused = lab.run(TASK)
        assert refused.returncode != 0
        (line,) = [line for line in refused.output.splitlines() if "another run" in line]
        assert str(lab.store.path.relative_to(lab.store.path.parents[1])) in line
        assert re.search(HOLDER, line)
        assert "Traceback" not in refused.output
    lab.run(TASK).check()
    assert lab.run(TASK).changed() == []


def test_a_run_from_another_folder_is_refused_by_the_host(
    lab: Deployment, other: Deployment
) -> None:
    with running(lab, TASK) as first:
        assert first.reaches(OPERATION)
        first.freeze()
        refused = other.run(TASK)
        assert refused.returncode == 1
        (line,) = [line for line in refused.output.splitlines() if "another run" in line]
        assert re.search(f"locked: another run works on it: {HOLDER}", line)
        assert "Traceback" not in refused.output
        other.run(TASK, "--dry").check()
    other.run(TASK).check()


def test_a_run_that_loses_its_connection_ends_and_leaves_no_lock(
    lab: Deployment, other: Deployment, machine: Machine
) -> None:
    with running(lab, TASK) as cut:
        assert cut.reaches(OPERATION)
        cut.freeze()
        with machine.unplugged():
            cut.thaw()
            ended = cut.wait(within := LOST_AFTER + 15)
            assert ended.returncode == 1, within
            assert "Traceback" not in ended.output
        # A run from the same folder knows that it has ended, and needn't wait.
        lab.run(TASK).check()
    # A lock that it left on the host is removed by the next run from its folder, or ends by itself.
    other.run(TASK).check()


def test_a_lock_of_a_run_that_lost_its_connection_ends_by_itself(
    lab: Deployment, other: Deployment, machine: Machine
) -> None:
    with running(lab, TASK) as cut:
        assert cut.reaches(OPERATION)
        cut.freeze()
        with machine.unplugged():
            cut.thaw()
            cut.wait(LOST_AFTER + 15)
    wait_until(lambda: other.run(TASK).returncode == 0, "the host releases the lock", timeout=180)


def test_a_run_on_this_machine_is_refused_by_it_as_well(operator: Operator, tmp_path: Path) -> None:
    inventory = operator.inventory(tmp_path, {}, {"lab_name": "test-local"})
    inventory.write_text('quay = database = redis = ["@local"]\n')
    script = f"set -- elsewhere 'somebody on this machine'; {HOST_LOCK}"
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout and lock_problem(first.stdout.readline()) == ""
        refused = operator.pyinfra(inventory, "tasks/verify.py")
        assert refused.returncode == 1
        message = (
            "@local: another run works on it: somebody on this machine; wait until it has ended"
        )
        assert message in refused.output
        # The holder ends when its input does.
        first.communicate(timeout=20)
    assert "another run" not in operator.pyinfra(inventory, "tasks/verify.py").output
