"""The locks themselves; tests/machine/test_lock.py has them in runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quaylab import locks
from quaylab.locks import HOST_LOCK, FileLock, LockHeld, lock_problem, output


class Host:
    """This machine as a host, with its lock in a folder and a short timeout."""

    def __init__(self, folder: Path, beat: str = "10") -> None:
        as_root = HOST_LOCK.replace('"$(id -u)"', "0").replace("--timeout 10", "--timeout 0.2")
        as_root = as_root.replace("sleep 10", f"sleep {beat}")
        self._script = as_root.replace("/run/", f"{folder}/")

    @contextmanager
    def run(
        self, identity: str, who: str = "me", command: str = ":"
    ) -> Iterator[tuple[str | None, subprocess.Popen[str]]]:
        """Ask for the lock as a run does; yield the answer, and the process that holds the lock."""
        script = (
            f"echo Hello; printf 'Welcome!'; set -- {identity} '{who}' '{command}'; {self._script}"
        )
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


def test_one_run_at_a_time_locks_a_host(host: Host) -> None:
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


def test_a_run_from_the_same_folder_takes_over_a_leftover_lock(host: Host) -> None:
    with host.run("first") as (_, left), host.run("first") as (taken, _):
        assert taken == ""
        assert left.wait(10) != 0


def test_a_killed_holder_releases_the_lock(host: Host) -> None:
    with host.run("first") as (_, holding):
        holding.kill()
        with host.run("second") as (second, _):
            assert second == ""


def test_nothing_of_a_killed_holder_lives_on_to_kill_others(tmp_path: Path) -> None:
    """The holder's number may be another process's by then."""
    host = Host(tmp_path, beat="0.2")
    with host.run("first") as (_, holding):
        assert holding.stdout
        while holding.stdout.readline().strip():
            pass
        holding.terminate()
        # Until nobody is left who can write to it.
        holding.communicate(timeout=10)


def test_a_host_that_cannot_be_locked_is_reported(tmp_path: Path) -> None:
    with Host(tmp_path / "missing").run("first") as (problem, _):
        assert problem
        assert problem.startswith("can't be locked for this run: ")
        assert problem.endswith("quaylab-run.lock can't be written")


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("echo one; echo two", ["one", "two"]),
        ("echo one; printf two", ["one", "two"]),
        ("echo one; exit 3", None),
        (":", []),
        ("cat", []),
    ],
)
def test_a_locked_host_runs_a_command(host: Host, command: str, printed: list[str] | None) -> None:
    with host.run("first", command=command) as (_, holding):
        assert holding.stdout
        assert output(holding.stdout) == printed
        assert holding.poll() is None
        with host.run("second") as (second, _):
            assert second


def test_a_connection_that_ends_before_the_command_does() -> None:
    assert output(["one\n"]) is None


@pytest.mark.parametrize("line", ["", "Welcome!", "quaylab-lock: "])
def test_lines_that_are_not_an_answer(line: str) -> None:
    assert lock_problem(line) is None


def test_without_root_there_is_no_lock_problem() -> None:
    assert lock_problem("quaylab-lock: none\n") == ""


def test_a_held_file_lock_names_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "holder", lambda: "ann on desk")
    path = tmp_path / "lock"
    path.write_text("a longer text of an earlier holder")
    first = FileLock(path)
    with pytest.raises(LockHeld) as held:
        FileLock(path)
    assert str(held.value) == "ann on desk"
    assert first.identity == first.identity
    assert first.identity != FileLock(tmp_path / "other").identity
