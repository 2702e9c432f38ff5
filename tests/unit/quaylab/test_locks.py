"""The locks themselves; tests/machine/test_lock.py shows them held by runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quaylab import locks
from quaylab.locks import HOST_LOCK, FileLock, LockHeld, lock_problem


class Host:
    """This machine in a host's place, with its lock in a folder and a short patience."""

    def __init__(self, folder: Path) -> None:
        as_root = HOST_LOCK.replace('"$(id -u)"', "0").replace("--timeout 10", "--timeout 0.2")
        self._script = as_root.replace("/run/", f"{folder}/")

    @contextmanager
    def run(
        self, identity: str, who: str = "me"
    ) -> Iterator[tuple[str | None, subprocess.Popen[str]]]:
        """A run that asks for the lock; the answer, and the process that holds it."""
        script = f"echo Hello; printf 'Welcome!'; set -- {identity} '{who}'; {self._script}"
        with subprocess.Popen(
            ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            answers = (lock_problem(line) for line in process.stdout)
            yield next((each for each in answers if each is not None), None), process
            assert process.stdin
            process.stdin.close()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_host_is_held_by_one_run_at_a_time(host: Host) -> None:
    with host.run("first", "ann on desk, process 7") as (first, holding):
        assert first == ""
        with host.run("second") as (second, _):
            assert second == (
                "another run works on it: ann on desk, process 7; wait until it has ended. If it "
                "has, but its connection is still open, run there: kill "
                f"{holding.pid}"
            )
    with host.run("second") as (again, _):
        assert again == ""


def test_run_of_the_same_folder_takes_over_what_was_left(host: Host) -> None:
    with host.run("first") as (_, left), host.run("first") as (taken, _):
        assert taken == ""
        assert left.wait(10) != 0


def test_killed_holder_holds_nothing(host: Host) -> None:
    with host.run("first") as (_, holding):
        holding.kill()
        with host.run("second") as (second, _):
            assert second == ""


def test_a_host_without_what_it_takes_is_told(tmp_path: Path) -> None:
    with Host(tmp_path / "missing").run("first") as (problem, _):
        assert problem
        assert problem.startswith("can't be locked for this run: ")
        assert problem.endswith("quaylab-run.lock can't be written")


@pytest.mark.parametrize("line", ["", "Welcome!", "quaylab-lock: "])
def test_lines_that_are_no_answer(line: str) -> None:
    assert lock_problem(line) is None


def test_user_who_is_no_root_is_told_elsewhere() -> None:
    assert lock_problem("quaylab-lock: none\n") == ""


def test_file_lock_tells_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "holder", lambda: "ann on desk")
    path = tmp_path / "lock"
    path.write_text("a longer text of an earlier holder")
    first = FileLock(path)
    with pytest.raises(LockHeld) as held:
        FileLock(path)
    assert str(held.value) == "ann on desk"
    assert first.identity == first.identity
    assert first.identity != FileLock(tmp_path / "other").identity
