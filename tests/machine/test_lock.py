"""Two runs at once, and the locks of a run that dies or loses its connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from quaylab.clients.tunnel import LOST_AFTER
from tests.machine.deployment import Deployment
from tests.machine.machines import Machine, MachineFactory, Operator, Result, wait_until
from tests.machine.observed import IMAGE_OF
from tests.machine.running import running

TASK, OPERATION = "tasks/engine.py", "Resolve the registry's name"
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


@dataclass(frozen=True)
class Cut:
    """A deployment whose run lost its connection, and another one of the same machine."""

    lab: Deployment
    other: Deployment
    ended: Result


@pytest.fixture(scope="module")
def cuts(
    machine: Machine,
    machine_factory: MachineFactory,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Cut]]:
    """Two, on a machine each; together, because a run waits half a minute before it gives up."""
    folder = tmp_path_factory.mktemp("cut")
    machines = [machine, machine_factory("locked-longer")]
    labs, others = (
        [
            Deployment.of(operator, folder / f"{name}{number}", {part: [each] for part in IMAGE_OF})
            for number, each in enumerate(machines)
        ]
        for name in ("cut", "uncut")
    )
    with ExitStack() as stack:
        runs = [stack.enter_context(running(each, TASK)) for each in labs]
        for run in runs:
            assert run.reaches(OPERATION)
            run.freeze()
        with machines[0].unplugged(), machines[1].unplugged():
            for run in runs:
                run.thaw()
            ended = [run.wait(LOST_AFTER + 15) for run in runs]
    yield [Cut(*each) for each in zip(labs, others, ended, strict=True)]
    for each in (*labs, *others):
        each.forget()
    machines[1].destroy()


def test_a_run_that_loses_its_connection_ends_and_leaves_no_lock(cuts: list[Cut]) -> None:
    cut = cuts[0]
    assert cut.ended.returncode == 1
    assert "Traceback" not in cut.ended.output
    # A run from the same folder knows that it has ended, and needn't wait.
    cut.lab.run(TASK).check()
    # A lock that it left on the host is removed by the next run from its folder, or ends by itself.
    cut.other.run(TASK).check()


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


def test_a_lock_of_a_run_that_lost_its_connection_ends_by_itself(cuts: list[Cut]) -> None:
    """That takes a minute or two, so it is the last one."""
    other = cuts[1].other
    wait_until(lambda: other.run(TASK).returncode == 0, "the host releases the lock", timeout=180)
