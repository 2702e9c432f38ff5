"""A run's facts about its hosts are read once, in one command, until something is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import StringCommand
from pyinfra.api.facts import FactBase
from pyinfra.connectors.util import CommandOutput, OutputLine
from pyinfra.context import ctx_host, ctx_state

from facts.files import Files
from operations.runtime import observation
from operations.runtime.observation import Question, question
from quaylab.model import FileState, ManagedFile
from tests.unit.fake_host import FakeHost
from tests.unit.shell import Shell


class Output(FactBase[list[str]]):
    """The output of a command."""

    def command(self, script: str) -> str:
        return script

    @staticmethod
    def default() -> list[str]:
        return ["by default"]

    def process(self, output: list[str]) -> list[str]:
        return output


class Plain(Output):
    def command(self) -> str:  # type: ignore[override]
        return "echo plain"


@dataclass
class Operation:
    """The part of pyinfra's operation that knows whether it has changed anything."""

    complete: bool = False
    changed: bool = False

    def is_complete(self) -> bool:
        return self.complete

    def did_change(self) -> bool:
        assert self.complete
        return self.changed


class Asked(FakeHost):
    """A host that runs combined questions in a shell, and records facts that are read alone."""

    def __init__(self, shell: Shell, facts: dict[type[FactBase[Any]], Any] | None = None) -> None:
        super().__init__(facts)
        self.sh = shell
        self.together: list[str] = []
        self.operation = Operation()

    def run_shell_command(self, command: object, **arguments: Any) -> tuple[bool, CommandOutput]:
        assert isinstance(command, StringCommand)
        done = self.sh.run(command)
        self.together.append(done.stdout)
        lines = [OutputLine("stdout", line) for line in done.stdout.splitlines()]
        return done.returncode == 0, CommandOutput(lines)

    def has_changed(self) -> None:
        self.operation.complete = self.operation.changed = True


@pytest.fixture
def asked(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """The current host, in a run with one operation."""
    monkeypatch.setattr(observation, "inventory_arguments", lambda host: {})
    host = Asked(shell, {Output: ["alone"], Plain: ["alone"], Files: {}})
    run = SimpleNamespace(ops={host: {"hash": SimpleNamespace(operation_meta=host.operation)}})
    with ctx_host.use(host), ctx_state.use(run):
        yield host


def _begin(host: Any, *questions: Question, paths: tuple[str, ...] = ()) -> None:
    observation.begin(host, {}, {})
    observation.prepare(host, questions, paths)


def test_before_a_run_begins_each_question_is_asked(asked: Asked) -> None:
    for _ in range(2):
        assert observation.ask(Output, script="true") == ["alone"]
    assert len(asked.asked) == 2


def test_a_question_is_asked_once(asked: Asked) -> None:
    _begin(asked)
    for _ in range(2):
        assert observation.ask(Output, script="true") == ["alone"]
    assert asked.asked == [{"script": "true"}]
    observation.ask(Output, script="another")
    observation.ask(Plain)
    assert len(asked.asked) == 3


def test_what_the_report_has_is_not_asked(asked: Any) -> None:
    state = FileState(0, 0, 0o644, "a" * 64)
    observation.begin(asked, {Plain: ["reported"]}, {Files: {"/reported": state}})
    assert observation.ask(Plain) == ["reported"]
    assert observation.ask_each(Files, ["/reported"]) == {"/reported": state}
    assert asked.asked == []


def test_after_a_change_everything_is_asked_again(asked: Any) -> None:
    observation.begin(asked, {Plain: ["reported"]}, {})
    asked.operation.complete = True
    assert observation.ask(Plain) == ["reported"], "an operation without a change"
    asked.has_changed()
    answers = iter(("first", "second"))
    for answer in ("first", "second"):
        assert observation.ask(Plain) == ["alone"]
        assert observation.recall(asked, "Redis", lambda: next(answers)) == answer
    assert len(asked.asked) == 2


def test_a_change_on_another_host_counts_as_well(asked: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other: Any = Asked(Shell(tmp_path / "other"))
    for host in (asked, other):
        observation.begin(host, {Plain: ["reported"]}, {})
    with ctx_host.use(other):
        assert observation.ask(Plain) == ["reported"]
        asked.has_changed()
        assert observation.ask(Plain) != ["reported"]


def test_existing_and_missing_files_are_asked_for_once(asked: Any) -> None:
    there = FileState(0, 0, 0o644, "a" * 64)
    asked.facts[Files] = {"/there": there}
    _begin(asked)
    for _ in range(2):
        assert observation.ask_each(Files, ["/there", "/not"]) == {"/there": there}
    assert observation.ask_each(Files, ["/not", "/more"]) == {}
    assert asked.asked == [{"paths": ["/there", "/not"]}, {"paths": ["/more"]}]


# --- together, by a real shell ---


def test_questions_are_asked_in_one_command(asked: Asked, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    scripts = {
        "echo one; echo two": ["one", "two"],
        "printf 'no end'": ["no end"],
        "echo; echo after an empty line": ["", "after an empty line"],
        # The fact's default for no output.
        "true": ["by default"],
        "echo 'its own error' >&2": ["by default"],
    }
    paths = (str(file), str(tmp_path / "not there"))
    _begin(asked, *(question(Output, script=script) for script in scripts), paths=paths)
    assert len(asked.together) == 1
    for script, answer in scripts.items():
        assert observation.ask(Output, script=script) == answer
    wanted = ManagedFile(str(file), "content", mode=file.stat().st_mode & 0o7777)
    found = observation.ask_each(Files, paths)
    assert found.keys() == {str(file)}
    assert found[str(file)].sha256 == wanted.sha256
    assert asked.asked == []


@pytest.mark.parametrize("script", ["exit 1", "echo half; exit 3"])
def test_a_failed_question_is_asked_again_when_it_is_needed(asked: Asked, script: str) -> None:
    _begin(asked, question(Output, script=script), question(Output, script="echo fine"))
    assert observation.ask(Output, script="echo fine") == ["fine"]
    assert asked.asked == []
    assert observation.ask(Output, script=script) == ["alone"]
    assert asked.asked == [{"script": script}]


def test_without_a_place_for_answers_nothing_is_asked_together(asked: Asked, shell: Shell) -> None:
    """They would go to files in the root folder."""
    shell.stub("mktemp", "exit 1")
    script = f"echo >{shell.stubs}/asked"
    _begin(asked, question(Output, script=script))
    assert not (shell.stubs / "asked").exists()
    assert observation.ask(Output, script=script) == ["alone"]


def test_an_answer_without_space_is_asked_for_again(asked: Asked, shell: Shell) -> None:
    """Many facts end with status 0 whatever they have written."""
    answers = shell.stubs / "answers"
    shell.stub("mktemp", f"mkdir {answers}; ln -s /dev/null {answers}/0; echo {answers}")
    _begin(asked, question(Output, script="echo one || :"))
    assert observation.ask(Output, script="echo one || :") == ["alone"]


def test_half_an_answer_is_none(asked: Asked, shell: Shell) -> None:
    shell.stub("cat", "head -n 1 $1")
    _begin(asked, question(Output, script="echo one; echo two"))
    assert observation.ask(Output, script="echo one; echo two") == ["alone"]


def test_the_file_of_answers_is_removed(asked: Asked, shell: Shell) -> None:
    shell.stub("mktemp", f"mkdir {shell.stubs}/answers; echo {shell.stubs}/answers")
    _begin(asked, question(Output, script="echo one"))
    assert observation.ask(Output, script="echo one") == ["one"]
    assert not (shell.stubs / "answers").exists()


# --- answers that are not facts ---


def test_an_answer_of_a_service_is_remembered_by_its_name(asked: Any) -> None:
    _begin(asked)
    assert observation.recall(asked, "database", lambda: "16.4") == "16.4"
    assert observation.recall(asked, "database", lambda: "another") == "16.4"
    assert observation.recall(asked, "Redis", lambda: "7.2") == "7.2"


def test_an_answer_that_is_not_known_yet_is_asked_again(asked: Any) -> None:
    _begin(asked)
    assert observation.recall(asked, "superuser", lambda: None) is None
    assert observation.recall(asked, "superuser", lambda: False) is False
    assert observation.recall(asked, "superuser", lambda: True) is False


def test_a_failure_is_not_remembered(asked: Any) -> None:
    def silent() -> str:
        raise ConnectionError

    _begin(asked)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            observation.recall(asked, "database", silent)
    assert observation.recall(asked, "database", lambda: "16.4") == "16.4"
