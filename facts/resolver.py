"""What resolves names on a host, and its configuration by runs."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.lines import by_first_word


@dataclass(frozen=True)
class ResolverState:
    """``kind`` is systemd-resolved, NetworkManager or None; ``routed`` are the domains that
    systemd-resolved sends to a link's own server; ``hosts`` are our lines of /etc/hosts."""

    kind: str | None = None
    routed: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()


class Resolver(FactBase[ResolverState]):
    """How a host resolves names."""

    def command(self, mark: str) -> StringCommand:
        return StringCommand(
            "if systemctl is-active --quiet systemd-resolved 2>/dev/null; then",
            "echo 'kind systemd-resolved'; resolvectl domain 2>/dev/null | tr ' ' '\\n' |",
            "sed -n 's/^~/routed /p';",
            "elif systemctl is-active --quiet NetworkManager 2>/dev/null; then",
            "echo 'kind NetworkManager'; fi;",
            "awk", QuoteString(f"-vmark= {mark}"),
            '\'substr($0, length($0) - length(mark) + 1) == mark {'
            ' print "hosts " substr($0, 1, length($0) - length(mark)) }\''
            " /etc/hosts 2>/dev/null || :",
        )  # fmt: skip

    @staticmethod
    def default() -> ResolverState:
        return ResolverState()

    def process(self, output: list[str]) -> ResolverState:
        values = by_first_word(output)
        return ResolverState(
            values.get("kind", [None])[0],
            frozenset(values.get("routed", [])),
            tuple(values.get("hosts", [])),
        )
