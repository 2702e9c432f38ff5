"""Host directories that settings name for data."""

from __future__ import annotations

from collections.abc import Iterator

from quaylab.services import SERVICES
from quaylab.settings.loading import Settings

# A data directory gets the owner and mode of a service; these need their own.
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr")
SHARED = (
    *("/home", "/root", "/var", "/var/lib", "/var/log"),
    *("/var/lib/containers", "/var/lib/docker"),
)


def problems(settings: Settings) -> Iterator[str]:
    """Yield settings that name a system directory."""
    for key in (each for service in SERVICES for each in service.directories):
        path = getattr(settings, key)
        if path and (path.split("/")[1] in SYSTEM or path in SHARED):
            yield f"{key}: {path} is the system's own; name another, such as /srv/quaylab"
