"""firewalld, where it runs."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from quaylab.lines import by_first_word
from quaylab.paths import VAR

# The rules that runs have added, one on each line; others may have been there before.
NOTE = f"{VAR}/firewall"


@dataclass(frozen=True)
class FirewallState:
    """``rules``: those of the default zone that hold now and after a reboot, as the options of
    firewall-cmd that add them; ``noted``: the rules that runs have added; ``has_offline_client``:
    whether the lasting ones can be removed while firewalld does not run."""

    running: bool
    rules: frozenset[str]
    noted: frozenset[str] = frozenset()
    has_offline_client: bool = False


class Firewall(FactBase[FirewallState]):
    """Whether firewalld runs, and its rules."""

    def command(self) -> str:
        return (
            "command -v firewall-offline-cmd >/dev/null && echo offline; "
            "firewall-cmd --state 2>/dev/null | sed 's/^/state /'; for when in '' --permanent; do "
            "for port in $(firewall-cmd $when --list-ports 2>/dev/null); do "
            'echo "rule$when --add-port=$port"; done; '
            "firewall-cmd $when --list-rich-rules 2>/dev/null | "
            'sed "s/^/rule$when --add-rich-rule=/"; done; '
            f"sed 's/^/noted /' {NOTE} 2>/dev/null || :"
        )

    @staticmethod
    def default() -> FirewallState:
        return FirewallState(False, frozenset())

    def process(self, output: list[str]) -> FirewallState:
        lines = by_first_word(output)
        now, permanent, noted = (
            frozenset(lines.get(kind, [])) for kind in ("rule", "rule--permanent", "noted")
        )
        return FirewallState("state running" in output, now & permanent, noted, "offline" in output)
