"""The host's firewall, where it is firewalld."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api import QuoteString, StringCommand, operation

from facts.firewall import Firewall
from quaylab.parts import Part
from quaylab.topology import LOOPBACK, container_name


@operation()
def opened(parts: tuple[Part, ...], peer: str) -> Generator[StringCommand]:
    """Let the clients of a host's parts in: everybody to the registry, Quay's host to what it uses.

    firewalld lets in by itself what the engine forwards to a container. It does not where the
    engine's own proxy listens instead: with `iptables` off in daemon.json, or by IPv6.

    + parts: the host's parts with their published ports
    + peer: the address of Quay's host
    """
    firewall = host.get_fact(Firewall)
    wanted = [rule for part in parts for rule in rules(part, peer)]
    missing = [rule for rule in wanted if rule not in firewall.rules]
    if not firewall.running:
        host.noop("firewalld does not run")
    elif not missing:
        host.noop("nobody from outside needs it, or the ports are open")
    for rule in missing if firewall.running else ():
        # Not by --reload, which would take the engine's rules away for a moment.
        yield StringCommand(
            "firewall-cmd --quiet", QuoteString(rule),
            "&& firewall-cmd --quiet --permanent", QuoteString(rule),
        )  # fmt: skip


def rules(part: Part, peer: str) -> list[str]:
    """The options of firewall-cmd, in the words in which it lists them."""
    ports = [port.host for port in part.container.ports if port.address != LOOPBACK]
    if part.container.name == container_name("quay"):
        return [f"--add-port={port}/tcp" for port in ports]
    if peer == LOOPBACK:
        return []
    family = "ipv6" if ":" in peer else "ipv4"
    return [
        f'--add-rich-rule=rule family="{family}" source address="{peer}" '
        f'port port="{port}" protocol="tcp" accept'
        for port in ports
    ]
