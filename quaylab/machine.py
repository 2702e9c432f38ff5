"""What a host reports of itself, as pure data; facts/machine.py reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Operating systems by os-release's ID that get their engine in the same way.
DEBIAN_FAMILY = ("debian", "ubuntu")
RED_HAT_FAMILY = ("rhel", "centos", "rocky", "almalinux", "ol", "fedora")


@dataclass(frozen=True)
class Engine:
    """The container engine. ``version`` is None while the daemon does not answer."""

    version: str | None
    storage_driver: str | None
    root_directory: str | None
    unsupported: str | None


@dataclass(frozen=True)
class Volume:
    """One of our data volumes with its labels."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Machine:
    """A host: identity, size, engine and the data it bears."""

    uid: int
    os_id: str
    os_version: str
    os_like: tuple[str, ...]
    architecture: str
    cpus: int
    memory_mb: int
    systemd: bool
    addresses: tuple[str, ...]
    engine: Engine | None
    volumes: tuple[Volume, ...]

    @property
    def debian_family(self) -> bool:
        return self.os_id in DEBIAN_FAMILY or "debian" in self.os_like

    @property
    def red_hat_family(self) -> bool:
        return self.os_id in RED_HAT_FAMILY or "rhel" in self.os_like

    @property
    def ca_bundle(self) -> str:
        """The PEM file of all CAs that the host trusts."""
        if self.debian_family:
            return "/etc/ssl/certs/ca-certificates.crt"
        return "/etc/pki/tls/certs/ca-bundle.crt"

    @property
    def os_major(self) -> int:
        return int(self.os_version.split(".")[0] or 0)
