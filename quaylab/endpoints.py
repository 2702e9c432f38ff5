"""Where the services that Quay uses are reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A service that Quay uses.

    ``address`` and ``port`` stand in Quay's config.yaml; ``probe_address`` and ``probe_port`` are
    how Quay's host itself reaches the same service. ``host`` (None: it runs elsewhere) is who
    runs it, and ``listen`` the address at which ``probe_port`` is published there.
    """

    host: str | None
    address: str
    port: int
    probe_address: str
    probe_port: int
    listen: str | None


@dataclass(frozen=True)
class StoreEndpoint(Endpoint):
    """An object store: its kind as in the setting ``storage``, and whether it is reached by TLS."""

    kind: str
    tls: bool

    @property
    def netloc(self) -> str:
        """``host[:port]``, as in its addresses."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        usual = self.port == (443 if self.tls else 80)
        return address if usual else f"{address}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.netloc}"
