"""The host's firewall, where it is firewalld."""

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
    """Let the clients of a host's services in: everybody to the registry, Quay's host to what it
    uses.
    What an earlier run has opened for other ports or another peer is closed.

    firewalld lets in by itself what the engine forwards to a container. It does not where the
    engine's own proxy listens instead: with `iptables` off in daemon.json, or by IPv6.

    + ports: those of the host's services
    + peer: the address of Quay's host
    """
    wanted = [rule for port in ports if (rule := _rule(port, peer))]
    yield from _only(wanted, "nobody from outside needs it, or the ports are open")


@operation()
def closed() -> Generator[StringCommand]:
    """Take back what runs have opened; what was open before them stays open."""
    yield from _only([], "no run has opened a port")


def _rule(port: Port, peer: str) -> str | None:
    """The option of firewall-cmd, in the words in which it lists a rule; None without one."""
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


def _only(wanted: list[str], nothing: str) -> Generator[StringCommand]:
    """Have these rules, and of those that runs have added no others."""
    firewall: FirewallState = ask(Firewall)
    if not firewall.running:
        host.noop("firewalld does not run")
        return
    missing = [rule for rule in wanted if rule not in firewall.rules]
    outdated = sorted(firewall.noted - set(wanted))
    if not (missing or outdated):
        host.noop(nothing)
        return
    # Noted before they hold and until they don't, so that a killed run's are known.
    if not firewall.noted.issuperset(missing):
        yield _note({*firewall.noted, *missing})
    for rule in outdated:
        yield _firewall(rule.replace("--add-", "--remove-", 1))
    for rule in missing:
        yield _firewall(rule)
    if outdated:
        yield _note({*firewall.noted, *missing}.difference(outdated))


def _firewall(option: str) -> StringCommand:
    # Not by --reload, which would take the engine's rules away for a moment.
    return StringCommand(
        "firewall-cmd --quiet", QuoteString(option),
        "&& firewall-cmd --quiet --permanent", QuoteString(option),
    )  # fmt: skip


def _note(added: Iterable[str]) -> StringCommand:
    return files.write(ManagedFile(NOTE, "".join(f"{rule}\n" for rule in sorted(added))))
