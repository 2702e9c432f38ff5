"""What a run has seen of its hosts: a fact is asked once, until something is changed.

pyinfra asks each fact while it plans an operation and again while it executes it, one after the
other, and each takes a round trip. Here what a run will surely ask is asked of a host in one
command, and all is known until an operation has executed a command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from pyinfra import state
from pyinfra.api import Host, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase
from pyinfra.context import ctx_host

from facts.files import Files
from operations.commands import inventory_arguments

T = TypeVar("T")
# Stands before each fact's output, with its number.
MARK = "quaylab-fact"


@dataclass(frozen=True)
class Question:
    """A fact with its arguments."""

    fact: type[FactBase[Any]]
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        return f"{self.fact.__module__}.{self.fact.__name__} {sorted(self.arguments.items())!r}"


@dataclass
class _Seen:
    answers: dict[str, Any] = field(default_factory=dict)
    # Of facts about many things the answer for each; None for one that isn't there.
    each: dict[type[FactBase[Any]], dict[str, Any]] = field(default_factory=dict)


_seen: WeakKeyDictionary[Host, _Seen] = WeakKeyDictionary()


def question(fact: type[FactBase[Any]], **arguments: Any) -> Question:
    return Question(fact, arguments)


def ask(fact: type[FactBase[Any]], **arguments: Any) -> Any:
    """A fact of the current host."""
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    seen = _known(host)
    if seen is None:
        return host.get_fact(fact, **arguments)
    key = question(fact, **arguments).key
    if key not in seen.answers:
        seen.answers[key] = host.get_fact(fact, **arguments)
    return seen.answers[key]


def ask_each(fact: type[FactBase[dict[str, T]]], things: Iterable[str]) -> dict[str, T]:
    """A fact about many things of the current host, such as files by their paths: the answers for
    those that are there."""
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    seen, wanted = _known(host), list(things)
    known = seen.each.setdefault(fact, {}) if seen else {}
    if missing := [thing for thing in wanted if thing not in known]:
        found: dict[str, T] = host.get_fact(fact, missing)
        known.update({thing: found.get(thing) for thing in missing})
    return {thing: known[thing] for thing in wanted if known[thing] is not None}


def begin(
    host: Host,
    known: Mapping[type[FactBase[Any]], Any],
    each: Mapping[type[FactBase[Any]], Mapping[str, Any]],
) -> None:
    """Begin to remember what is seen of a host.

    Args:
        known: facts without arguments that its report tells.
        each: of facts about many things what its report tells of some.
    """
    answers = {question(fact).key: answer for fact, answer in known.items()}
    _seen[host] = _Seen(answers, {fact: dict(found) for fact, found in each.items()})


def prepare(host: Host, questions: Iterable[Question], paths: Iterable[str]) -> None:
    """Ask a host for facts and files in one command. What fails is asked again where it is needed,
    and fails there."""
    wanted = [*questions, question(Files, paths=list(paths))]
    # Side by side: what is asked in containers takes its time.
    asked = "".join(
        f'( {_command(each)}\n) >$answers/{number} 2>/dev/null &\njobs="$jobs $!"\n'
        for number, each in enumerate(wanted)
    )
    script = (
        f"answers=$(mktemp -d); jobs=; {asked}number=0\n"
        f"for job in $jobs; do if wait $job; then echo {MARK} $number; cat $answers/$number; echo; "
        f"fi; number=$((number + 1)); done; rm -r $answers"
    )
    ok, output = host.run_shell_command(StringCommand(script), **inventory_arguments(host))
    if not ok:
        return
    seen = _seen[host]
    for number, lines in _split(output.stdout_lines).items():
        each = wanted[number]
        try:
            answer = each.fact().process(lines) if lines else each.fact().default()
        except FactProcessError:
            continue
        if each.fact is Files:
            files = seen.each.setdefault(Files, {})
            files.update({path: answer.get(path) for path in each.arguments["paths"]})
        else:
            seen.answers[each.key] = answer


def recall(host: Host, name: str, ask_now: Callable[[], T]) -> T:
    """What a question that is no fact gave, such as to a service by its own protocol, as long as
    nothing was changed."""
    seen = _known(host)
    if seen is None:
        return ask_now()
    if name not in seen.answers:
        seen.answers[name] = ask_now()
    answer: T = seen.answers[name]
    return answer


def _command(each: Question) -> str:
    command: StringCommand | str = each.fact().command(**each.arguments)
    return command if isinstance(command, str) else command.get_raw_value()


def _split(lines: Iterable[str]) -> dict[int, list[str]]:
    """The output of each fact whose command succeeded, by its number."""
    found: dict[int, list[str]] = {}
    current: list[str] = []
    for line in lines:
        mark, _, number = line.partition(" ")
        if mark == MARK:
            current = found[int(number)] = []
        else:
            current.append(line)
    # An empty line ends what a command printed, which may have no end of its own.
    return {
        number: output[:-1] if output and not output[-1] else output
        for number, output in found.items()
    }


def _known(host: Host) -> _Seen | None:
    """What is known of a host; None once something was changed, or before a run has begun.

    A change on another host counts as well: what a host reaches, and how its services are, depends
    on the services of others.
    """
    if host in _seen and _is_changed():
        _seen.clear()
    return _seen.get(host)


def _is_changed() -> bool:
    """Whether an operation of this run has executed a command."""
    done = (operation.operation_meta for ops in state.ops.values() for operation in ops.values())
    return any(each.is_complete() and each.did_change() for each in done)
