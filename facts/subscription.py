"""What subscription-manager reports. Each of its calls takes seconds, so a fact makes only the
calls that one decision needs."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.hosts import subscription
from quaylab.hosts.subscription import Pools, answers

CLIENT = "subscription-manager"
# `ask COMMAND`: print its output on both streams, in English, and its exit code.
ASK = (
    'ask() { said=$(LC_ALL=C "$@" 2>&1); code=$?; '
    "printf '%s\\n' \"$said\" | sed 's/^/| /'; printf 'rc=%s\\n' \"$code\"; };"
)


class Registration(FactBase[subscription.Registration]):
    """A :class:`quaylab.hosts.subscription.Registration`.

    A host without the client gives the default: a teardown asks while it runs, when pyinfra warns
    of a required command that is missing.
    """

    def command(self) -> str:
        calls = "; ".join(
            f"ask {CLIENT} {words}" for words in ("version", "identity", "release --show", "config")
        )
        is_there = f"command -v {CLIENT} >/dev/null || exit 0;"
        return f"{is_there} {ASK} {calls}; ask ls -A {subscription.CONSUMER}"

    @staticmethod
    def default() -> subscription.Registration:
        return subscription.Registration()

    def process(self, output: list[str]) -> subscription.Registration:
        return subscription.registration(*answers(output)) if output else self.default()


class AttachedPools(FactBase[Pools]):
    """A :class:`quaylab.hosts.subscription.Pools`.

    + matches: the pattern that a pool must match
    """

    def requires_command(self, matches: str = "*") -> str:
        return CLIENT

    def command(self, matches: str = "*") -> StringCommand:
        pattern = QuoteString(matches)
        return StringCommand(
            f"{ASK} ask {CLIENT} status;",
            f"ask {CLIENT} list --consumed --pool-only --matches", pattern, ";",
            f"ask {CLIENT} list --available --pool-only --matches", pattern,
        )  # fmt: skip

    @staticmethod
    def default() -> Pools:
        return Pools()

    def process(self, output: list[str]) -> Pools:
        return subscription.pools(*answers(output))


class Repositories(FactBase[dict[str, bool]]):
    """The repositories that the host may use: whether each is enabled, by its id."""

    def requires_command(self) -> str:
        return CLIENT

    def command(self) -> str:
        return f"{ASK} ask {CLIENT} repos --list"

    @staticmethod
    def default() -> dict[str, bool]:
        return {}

    def process(self, output: list[str]) -> dict[str, bool]:
        return subscription.repositories(*answers(output))
