"""The place of a registry's blobs, noted on Quay's hosts: Quay finds blobs only there."""

from __future__ import annotations

from collections.abc import Iterator

from quaylab.checks import lost_data
from quaylab.hosts.machine import Machine
from quaylab.model import ManagedFile, container_name
from quaylab.paths import STORAGE_NOTE
from quaylab.secrets.credentials import Credentials
from quaylab.services import object_store
from quaylab.services.quay import STORAGE_VOLUME
from quaylab.settings.loading import Settings
from quaylab.topology import Topology

# The place of the blobs in a registry from before this note existed. A killed first run has none
# either, but an empty volume.
PLACE_WITHOUT_NOTE = "default local"
# The task that moves them, and the stores that it can move them to.
MOVE = "tasks/move_blobs.py"
MOVED_TO = ("radosgw", "s3", "gcs")


def place(settings: Settings, topology: Topology) -> str:
    """Return location, kind of store, and address in it, in one line."""
    location, store = settings.storage_location, topology.object_store
    if store is None:
        return f"{location} local"
    address, port = store.address, store.port
    if ceph := topology.hosts["ceph"]:
        # Its own, which stays when balancers are put in front of it, or taken away.
        address, port = topology.addresses[ceph[0]], object_store.gateway_port(settings)
    bucket = f"{address}:{port}/{settings.storage_bucket}{settings.storage_path}"
    return f"{location} {store.kind} {bucket}"


def note(settings: Settings, topology: Topology, credentials: Credentials) -> ManagedFile:
    """Return the note: the owner's fingerprint, and the place."""
    line = f"{credentials.fingerprint} {place(settings, topology)}"
    return ManagedFile(STORAGE_NOTE, f"{line}\n", mode=0o644)


def problems(
    settings: Settings,
    topology: Topology,
    credentials: Credentials,
    quay: Machine | None,
    host: str | None = None,
) -> Iterator[str]:
    """Yield why Quay would no longer find its blobs.

    Args:
        quay: a host of Quay's, or one that had Quay before, best one with the note.
        host: its name; by default that of Quay's first host.
    """
    host = host or topology.first_quay
    if quay is None:
        return
    before, now = _noted(quay), place(settings, topology)
    if before is None or before == now:
        return
    location = before.split()[0]
    setting = "storage_location" if location != settings.storage_location else "storage"
    remedy = (
        "copy all blobs there, keep the location's name, and put the new place into "
        f"{STORAGE_NOTE} on {host}"
    )
    if before == f"{settings.storage_location} local" and now.split()[1] in MOVED_TO:
        remedy = f"move them there by {MOVE}, which takes these settings"
        if host not in topology.quay:
            remedy = f"put {host} into the group `quay` again and {remedy}"
    if not quay.storage:
        # As after a move, which leaves the volume.
        line = note(settings, topology, credentials).content.strip()
        remedy += (
            f"; if they are in {now!r} already, and only the note was lost, write this line into "
            f"{STORAGE_NOTE} on {host}: {line}"
        )
    yield (
        f"{setting}: Quay's blobs are in {before!r} (location, store, place), and this run would "
        f"have it look in {now!r}: it would find none of them; set it back, or {remedy}"
    )


def move_problems(
    settings: Settings, topology: Topology, quay: Machine | None, is_ours: bool
) -> Iterator[str]:
    """Yield why Quay's blobs can't be moved from their volume to the store of the settings.

    Args:
        quay: Quay's host, if it takes part in the run.
        is_ours: whether it has the volume, with this registry's label.
    """
    if quay is None:
        yield f"quay: {topology.first_quay} has the blobs and takes no part in this run; include it"
        return
    before, now = _noted(quay), place(settings, topology)
    if topology.object_store is None:
        yield (
            "storage: local; set storage and what belongs to it to the store that the blobs shall "
            "go to"
        )
    elif topology.object_store.kind not in MOVED_TO:
        yield (
            f"storage: this task copies by S3's protocol, and {topology.object_store.kind} has its "
            "own; copy the blobs by a client of that store, as in docs/object-storage.md"
        )
    elif before == now:
        yield f"storage: Quay's blobs are in {now!r} already, so nothing is moved; run deploy.py"
    elif before is None:
        yield f"storage: {topology.first_quay} has no blobs of this registry; run deploy.py"
    elif before.split()[1] != "local":
        yield (
            f"storage: Quay's blobs are in {before!r}, and this task moves them from a volume "
            "only; copy them by a client of the stores, as in docs/object-storage.md"
        )
    elif before.split()[0] != settings.storage_location:
        yield (
            f"storage_location: Quay knows its blobs as those of {before.split()[0]!r}; set it back"
        )
    elif not is_ours:
        yield (
            f"storage: the volume {STORAGE_VOLUME} with the blobs is not on {topology.first_quay}, "
            "or its disk is not mounted; put it back"
        )
    if len(topology.quay) > 1:
        yield (
            f"quay: {len(topology.quay)} hosts in group `quay`, and one of them has the blobs; "
            "leave that one alone there, and add the others when the blobs are moved"
        )


def _noted(quay: Machine) -> str | None:
    """Return the place of the blobs that a host knows; None if it has none."""
    served = container_name("quay") in quay.own_containers
    local = any(
        # An empty one that is lost may have blobs, on a disk that is not mounted.
        served or not volume.empty or lost_data.is_lost(volume, may_be_empty=True)
        for volume in quay.volumes
        if volume.name == STORAGE_VOLUME
    )
    noted = quay.storage.partition(" ")[2] if quay.storage else None
    return noted or (PLACE_WITHOUT_NOTE if local else None)
