"""A cache of facts, which is valid until the run changes something.

pyinfra asks each fact when an operation is executed, and without -y also when it is planned; each
question takes a round trip. Here one command asks a host all the facts that a run needs for
certain. The answers are used until an operation has executed a command.
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
from operations.runtime.commands import inventory_arguments

T = TypeVar("T")
# The line before each fact's output, with the fact's number, and the one after it.
MARK = "quaylab-fact"
END = f"{MARK} end"


@dataclass(frozen=True)
class Question:
    """A fact with its arguments."""

    fact: type[FactBase[Any]]
    arguments: Mapping[str, Any]

    @property
    def key(self) -> str:
        return f"{self.fact.__module__}.{self.fact.__name__} {sorted(self.arguments.items())!r}"


@dataclass
class _Cache:
    """A host's answers, by the keys of the questions."""

    answers: dict[str, Any] = field(default_factory=dict)
    # For facts about many things: the answer for each thing, None if it isn't there.
    each: dict[type[FactBase[Any]], dict[str, Any]] = field(default_factory=dict)


_caches: WeakKeyDictionary[Host, _Cache] = WeakKeyDictionary()


def question(fact: type[FactBase[Any]], **arguments: Any) -> Question:
    return Question(fact, arguments)


def ask(fact: type[FactBase[Any]], **arguments: Any) -> Any:
    """Return a fact of the current host, from the cache if it is there."""
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    cache = _cache_of(host)
    if cache is None:
        return host.get_fact(fact, **arguments)
    key = question(fact, **arguments).key
    if key not in cache.answers:
        cache.answers[key] = host.get_fact(fact, **arguments)
    return cache.answers[key]


def ask_each(fact: type[FactBase[dict[str, T]]], things: Iterable[str]) -> dict[str, T]:
    """Return a fact about many things of the current host, such as files by their paths.

    Returns:
        The answers for the things that are there.
    """
    host: Host = ctx_host.get()  # type: ignore[no-untyped-call]
    cache, wanted = _cache_of(host), list(things)
    answers = cache.each.setdefault(fact, {}) if cache else {}
    if missing := [thing for thing in wanted if thing not in answers]:
        found: dict[str, T] = host.get_fact(fact, missing)
        answers.update({thing: found.get(thing) for thing in missing})
    return {thing: answers[thing] for thing in wanted if answers[thing] is not None}


def begin(
    host: Host,
    known: Mapping[type[FactBase[Any]], Any],
    each: Mapping[type[FactBase[Any]], Mapping[str, Any]],
) -> None:
    """Start a host's cache with what its report has answered already.

    Args:
        known: answers to facts without arguments.
        each: for facts about many things, the answers for some of the things.
    """
    answers = {question(fact).key: answer for fact, answer in known.items()}
    _caches[host] = _Cache(answers, {fact: dict(found) for fact, found in each.items()})


def prepare(host: Host, questions: Iterable[Question], paths: Iterable[str]) -> None:
    """Ask a host for facts and files in one command. A fact that fails is not kept: the operation
    that needs it asks again, and reports the error. So does one whose answer is incomplete, as the
    host's temporary folder is full: its command may have ended with status 0 nevertheless."""
    wanted = [*questions, question(Files, paths=list(paths))]
    # Side by side, because questions to containers take long.
    with ctx_host.use(host):
        commands = "".join(
            f"{{ ( {_command(each)}\n) && printf '\\n%s\\n' '{END}'; }} >$answers/{number} "
            '2>/dev/null &\njobs="$jobs $!"\n'
            for number, each in enumerate(wanted)
        )
    script = (
        f"answers=$(mktemp -d) || exit; jobs=; {commands}number=0\n"
        f"for job in $jobs; do if wait $job; then echo {MARK} $number; cat $answers/$number; "
        f"fi; number=$((number + 1)); done; rm -r $answers"
    )
    ok, output = host.run_shell_command(StringCommand(script), **inventory_arguments(host))
    if not ok:
        return
    cache = _caches[host]
    for number, lines in _split(output.stdout_lines).items():
        each = wanted[number]
        try:
            answer = each.fact().process(lines) if lines else each.fact().default()
        except FactProcessError:
            continue
        if each.fact is Files:
            files = cache.each.setdefault(Files, {})
            files.update({path: answer.get(path) for path in each.arguments["paths"]})
        else:
            cache.answers[each.key] = answer


def recall(host: Host, name: str, ask_now: Callable[[], T]) -> T:
    """Return the answer to a question that is not a fact, such as one to a service.

    Args:
        name: the answer's name in the host's cache.
        ask_now: asks the question if the answer is not in the cache. None is not kept.
    """
    cache = _cache_of(host)
    answer: T | None = cache.answers.get(name) if cache else None
    if answer is None:
        answer = ask_now()
        if cache and answer is not None:
            cache.answers[name] = answer
    return answer


def _command(each: Question) -> str:
    command: StringCommand | str = each.fact().command(**each.arguments)
    return command if isinstance(command, str) else command.get_raw_value()


def _split(lines: Iterable[str]) -> dict[int, list[str]]:
    """Return the complete output of each fact whose command succeeded, by the fact's number."""
    found: dict[int, list[str]] = {}
    number, current = "", list[str]()
    for line in lines:
        if line == END:
            # Before it comes an empty line, or the end of the output's last line.
            found[int(number)] = current[:-1] if current and not current[-1] else current
        elif line.startswith(f"{MARK} "):
            number, current = line.partition(" ")[2], []
        else:
            current.append(line)
    return found


def _cache_of(host: Host) -> _Cache | None:
    """Return a host's cache; None before the run has begun and after the first change.

    A change on another host counts as well: what a host reaches, and whether its services are
    healthy, depends on the services of others.
    """
    if host in _caches and _is_changed():
        _caches.clear()
    return _caches.get(host)


def _is_changed() -> bool:
    """Whether an operation of this run has executed a command."""
    results = (each.operation_meta for ops in state.ops.values() for each in ops.values())
    return any(each.is_complete() and each.did_change() for each in results)
