"""Host directories that settings name for data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from quaylab.model import container_name
from quaylab.services import SERVICES, ceph
from quaylab.settings.loading import Settings

# A data directory gets the owner and mode of a service; these need their own.
SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "usr")
SHARED = ("/home", "/root", "/var", "/var/lib", "/var/log")
# At a reboot, or by a timer while the data is in use.
EMPTIED = ("/tmp", "/var/lock", "/var/run", "/var/tmp")
ENGINES = ("/var/lib/containers", "/var/lib/docker")


def problems(settings: Settings) -> Iterator[str]:
    """Yield settings that name a directory of the system's, of an engine's or of other data."""
    keys = [key for service in SERVICES for key in service.directories]
    directories = {key: path for key in keys if (path := getattr(settings, key))}
    files = [("ceph_osd_devices", path) for path in ceph.osd_files(settings)]
    for key, path in (*directories.items(), *files):
        if reason := why_unfit(path):
            yield f"{key}: {path} {reason}; name another, such as /srv/quaylab"
        for other, outer in directories.items():
            # Each service's data is in a directory of its own there, which may be the same one.
            if path.startswith(f"{outer}/{container_name('')}"):
                yield f"{key}: {path} lies in the data of {other}; name one outside of {outer}"


def why_unfit(path: str) -> str | None:
    """Return why a path on a host is not for data that should last; None if it is."""
    if path.split("/")[1] in SYSTEM or path in SHARED:
        return "is the system's own"
    if _is_within(path, EMPTIED):
        return "is emptied by the system"
    if _is_within(path, ENGINES):
        return "is a container engine's own"
    return None


def _is_within(path: str, parents: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).is_relative_to(parent) for parent in parents)
