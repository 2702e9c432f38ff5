"""Addresses of the services that Quay uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A service that Quay uses.

    ``address`` and ``port`` are those in Quay's config.yaml; ``probe_address`` and ``probe_port``
    are those by which Quay's host itself reaches the service. ``hosts`` run the service (none: it
    runs elsewhere). A single one publishes ``probe_port`` at the address ``listen``; several do so
    at addresses of their own.
    """

    hosts: tuple[str, ...]
    address: str
    port: int
    probe_address: str
    probe_port: int
    listen: str | None

    @property
    def is_elsewhere(self) -> bool:
        return not self.hosts


@dataclass(frozen=True)
class StoreEndpoint(Endpoint):
    """An object store; ``kind`` is a value of the setting ``storage``."""

    kind: str
    tls: bool

    @property
    def netloc(self) -> str:
        """``host[:port]``, as in URLs."""
        with_port = netloc(self.address, self.port)
        is_default_port = self.port == (443 if self.tls else 80)
        return with_port.rpartition(":")[0] if is_default_port else with_port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.netloc}"


def netloc(address: str, port: int) -> str:
    """Return ``address:port``, with an IPv6 address in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
