"""Names that a host resolves, and certificates that it trusts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class NameState:
    """Whether a name resolves, and the address in our line of /etc/hosts, if there is one."""

    resolves: bool
    managed: str | None


class Name(FactBase[NameState]):
    """How a host resolves a name."""

    def command(self, hostname: str, mark: str) -> StringCommand:
        return StringCommand(
            "if getent hosts", QuoteString(hostname), ">/dev/null; then echo resolves; fi;",
            f"sed -n 's/^\\([^ ]*\\) {hostname} {mark}$/managed \\1/p' /etc/hosts 2>/dev/null || :",
        )  # fmt: skip

    @staticmethod
    def default() -> NameState:
        return NameState(False, None)

    def process(self, output: list[str]) -> NameState:
        managed = [line.split()[1] for line in output if line.startswith("managed ")]
        return NameState("resolves" in output, managed[0] if managed else None)


class BundleHolds(FactBase[bool]):
    """Whether a CA bundle has all of some certificates, given as the base64 in their PEM."""

    def command(self, bundle: str, bodies: Iterable[str]) -> StringCommand:
        return StringCommand(
            f"found=$(tr -d ' \\r\\n' <{bundle} 2>/dev/null); for body in",
            *map(QuoteString, bodies),
            "no-more; do test $body != no-more || echo yes;",
            'printf %s "$found" | grep --quiet --fixed-strings -e "$body" || break; done',
        )

    @staticmethod
    def default() -> bool:
        return False

    def process(self, output: list[str]) -> bool:
        return output == ["yes"]
