"""Addresses of the services that Quay uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A service that Quay uses.

    ``address`` and ``port`` are those in Quay's config.yaml; ``probe_address`` and ``probe_port``
    are those by which Quay's host itself reaches the service. ``host`` runs the service (None: an
    external server), and ``listen`` is the address at which it publishes ``probe_port``.
    """

    host: str | None
    address: str
    port: int
    probe_address: str
    probe_port: int
    listen: str | None


@dataclass(frozen=True)
class StoreEndpoint(Endpoint):
    """An object store; ``kind`` is a value of the setting ``storage``."""

    kind: str
    tls: bool

    @property
    def netloc(self) -> str:
        """``host[:port]``, as in URLs."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        is_default_port = self.port == (443 if self.tls else 80)
        return address if is_default_port else f"{address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.netloc}"
