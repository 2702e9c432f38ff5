"""The host's firewall, if it is firewalld."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.firewall import NOTE, Firewall, FirewallState
from operations import files
from operations.observation import ask
from quaylab.model import LOOPBACK, ManagedFile
from quaylab.services.base import Audience, Port


@operation()
def opened(ports: Sequence[Port], peer: str) -> Generator[StringCommand]:
    """Open the ports of a host's services: the registry for everybody, the others for Quay's host.

    Rules that an earlier run added for other ports or another peer are removed.

    firewalld by itself admits what the engine forwards to a container, but not what the engine's
    own proxy receives instead: with `iptables` off in daemon.json, or over IPv6.

    + ports: the ports of the host's services
    + peer: the address of Quay's host
    """
    wanted = [rule for port in ports if (rule := _rule(port, peer))]
    yield from _set_rules(wanted, "nobody from outside needs it, or the ports are open")


@operation()
def closed() -> Generator[StringCommand]:
    """Remove the rules that runs have added; what was open before stays open."""
    yield from _set_rules([], "no run has opened a port")


def _rule(port: Port, peer: str) -> str | None:
    """Return firewall-cmd's option that adds a rule, as it lists it; None if no rule is needed."""
    number = port.published.host
    if port.audience is Audience.EVERYBODY:
        return f"--add-port={number}/tcp"
    if LOOPBACK in (peer, port.published.address):
        return None
    family = "ipv6" if ":" in peer else "ipv4"
    return (
        f'--add-rich-rule=rule family="{family}" source address="{peer}" '
        f'port port="{number}" protocol="tcp" accept'
    )


def _set_rules(wanted: list[str], reason: str) -> Generator[StringCommand]:
    """Add the wanted rules, and remove other rules that runs have added."""
    firewall: FirewallState = ask(Firewall)
    if not firewall.running:
        host.noop("firewalld does not run")
        return
    missing = [rule for rule in wanted if rule not in firewall.rules]
    outdated = sorted(firewall.noted - set(wanted))
    if not (missing or outdated):
        host.noop(reason)
        return
    # The note is written before rules are added and after they are removed, so that it also has the
    # rules of a killed run.
    if not firewall.noted.issuperset(missing):
        yield _note({*firewall.noted, *missing})
    for rule in outdated:
        yield _firewall(rule.replace("--add-", "--remove-", 1))
    for rule in missing:
        yield _firewall(rule)
    if outdated:
        yield _note({*firewall.noted, *missing}.difference(outdated))


def _firewall(option: str) -> StringCommand:
    # Not by --reload, which would remove the engine's rules for a moment.
    return StringCommand(
        "firewall-cmd --quiet", QuoteString(option),
        "&& firewall-cmd --quiet --permanent", QuoteString(option),
    )  # fmt: skip


def _note(added: Iterable[str]) -> StringCommand:
    return files.write(ManagedFile(NOTE, "".join(f"{rule}\n" for rule in sorted(added))))
