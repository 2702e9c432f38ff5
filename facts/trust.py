"""Names that a host resolves, and certificates that it trusts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase


@dataclass(frozen=True)
class NameState:
    """Whether a name resolves, the address in our line of /etc/hosts, if there is one, whether
    DNS has another address than that line, and whether there is a line of ours for another name,
    which the registry had before."""

    resolves: bool
    managed: str | None
    dns_has_another: bool = False
    has_former_name: bool = False


class Name(FactBase[NameState]):
    """How a host resolves a name.

    DNS is asked only if there is a line of ours, and the host uses DNS. Where systemd-resolved or
    another resolver answers from /etc/hosts, it gives our own address, which proves nothing.
    """

    def command(self, hostname: str, mark: str) -> StringCommand:
        return StringCommand(
            "if getent hosts", QuoteString(hostname), ">/dev/null; then echo resolves; fi;",
            f"own=$(sed -n 's/^\\([^ ]*\\) {hostname} {mark}$/\\1/p' /etc/hosts 2>/dev/null |",
            "head -n 1); if test -n \"$own\"; then echo \"managed $own\";",
            "grep --quiet '^hosts:.*[[:space:]]dns' /etc/nsswitch.conf 2>/dev/null &&",
            # A server that does not answer shall not delay each run.
            "RES_OPTIONS='timeout:1 attempts:1' timeout 5 getent -s dns ahosts",
            QuoteString(hostname), "| while read -r address _; do",
            'test "$address" = "$own" || echo "dns $address"; done; fi;',
            f"if LC_ALL=C grep -a ' {mark}$' /etc/hosts 2>/dev/null |",
            f"LC_ALL=C grep -aqv '^[^ ]* {hostname} {mark}$'; then echo former; fi; :",
        )  # fmt: skip

    @staticmethod
    def default() -> NameState:
        return NameState(False, None)

    def process(self, output: list[str]) -> NameState:
        managed = [line.split()[1] for line in output if line.startswith("managed ")]
        another = any(line.startswith("dns ") for line in output)
        return NameState(
            "resolves" in output, managed[0] if managed else None, another, "former" in output
        )


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
