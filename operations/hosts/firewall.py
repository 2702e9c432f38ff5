"""The host's firewall, if it is firewalld."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.firewall import NOTE, Firewall, FirewallState
from operations.hosts import files
from operations.runtime.observation import ask
from quaylab.model import LOOPBACK, ManagedFile
from quaylab.services.base import Audience, Port


@operation()
def opened(
    ports: Sequence[Port],
    addresses_of: Callable[[Audience], Sequence[str]],
    vrrp_peers: Sequence[str] = (),
) -> Generator[StringCommand]:
    """Open the ports of a host's services: the registry for everybody, the others for those hosts
    that use them.

    Rules that an earlier run added for other ports or other peers are removed.

    firewalld by itself admits what the engine forwards to a container, but not what the engine's
    own proxy receives instead: with `iptables` off in daemon.json, or over IPv6.

    + ports: the ports of the host's services
    + addresses_of: returns the addresses of an audience's hosts
    + vrrp_peers: the addresses of the other balancers, with which a virtual address is shared
    """
    wanted = [rule for port in ports for rule in _rules(port, addresses_of(port.audience))]
    wanted += [
        f'--add-rich-rule=rule family="ipv4" source address="{peer}" protocol value="vrrp" accept'
        for peer in vrrp_peers
    ]
    yield from _set_rules(wanted, "nobody from outside needs it, or the ports are open")


@operation()
def closed() -> Generator[StringCommand]:
    """Remove the rules that runs have added; what was open before stays open.

    A firewalld that is stopped would have them again when it is started.
    """
    firewall: FirewallState = ask(Firewall)
    if firewall.running or not (firewall.noted and firewall.has_offline_client):
        yield from _set_rules([], "no run has opened a port")
        return
    for rule in sorted(firewall.noted):
        yield StringCommand("firewall-offline-cmd --quiet", QuoteString(_removal(rule)))
    yield _note([])


def _rules(port: Port, peers: Sequence[str]) -> Iterator[str]:
    """Yield firewall-cmd's options that add the rules for a port, as it lists them."""
    number = port.published.host
    if port.audience is Audience.EVERYBODY:
        yield f"--add-port={number}/tcp"
        return
    for peer in peers:
        if LOOPBACK not in (peer, port.published.address):
            family = "ipv6" if ":" in peer else "ipv4"
            yield (
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
        yield _firewall(_removal(rule))
    for rule in missing:
        yield _firewall(rule)
    if outdated:
        yield _note({*firewall.noted, *missing}.difference(outdated))


def _removal(rule: str) -> str:
    """Return the option that removes what another one adds."""
    return rule.replace("--add-", "--remove-", 1)


def _firewall(option: str) -> StringCommand:
    # Not by --reload, which would remove the engine's rules for a moment.
    return StringCommand(
        "firewall-cmd --quiet", QuoteString(option),
        "&& firewall-cmd --quiet --permanent", QuoteString(option),
    )  # fmt: skip


def _note(added: Iterable[str]) -> StringCommand:
    return files.write(ManagedFile(NOTE, "".join(f"{rule}\n" for rule in sorted(added))))
