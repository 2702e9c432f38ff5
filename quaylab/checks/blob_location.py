"""The place of a registry's blobs, noted on Quay's hosts: Quay finds blobs only there."""

from __future__ import annotations

from collections.abc import Iterator

from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile
from quaylab.paths import STORAGE_NOTE
from quaylab.secrets.credentials import Credentials
from quaylab.services.quay import STORAGE_VOLUME
from quaylab.settings.loading import Settings
from quaylab.topology import Topology

# The place of the blobs in a registry from before this note existed.
PLACE_WITHOUT_NOTE = "default local"


def place(settings: Settings, topology: Topology) -> str:
    """Return location, kind of store, and address in it, in one line."""
    location, store = settings.storage_location, topology.store
    if store is None:
        return f"{location} local"
    bucket = f"{store.address}:{store.port}/{settings.storage_bucket}{settings.storage_path}"
    return f"{location} {store.kind} {bucket}"


def note(settings: Settings, topology: Topology, credentials: Credentials) -> ManagedFile:
    """Return the note: the owner's fingerprint, and the place."""
    line = f"{credentials.fingerprint} {place(settings, topology)}"
    return ManagedFile(STORAGE_NOTE, f"{line}\n", mode=0o644)


def problems(settings: Settings, topology: Topology, leader: Machine | None) -> Iterator[str]:
    """Yield why Quay would no longer find its blobs."""
    if leader is None:
        return
    local = any(volume.name == STORAGE_VOLUME for volume in leader.volumes)
    noted = leader.storage.partition(" ")[2] if leader.storage else None
    before = noted or (PLACE_WITHOUT_NOTE if local else None)
    now = place(settings, topology)
    if before is None or before == now:
        return
    location = before.split()[0]
    setting = "storage_location" if location != settings.storage_location else "storage"
    yield (
        f"{setting}: Quay's blobs are in {before!r} (location, store, place), and this run would "
        f"have it look in {now!r}: it would find none of them; set it back, or copy all blobs "
        f"there, keep the location's name, and remove {STORAGE_NOTE} on {topology.leader}"
    )
