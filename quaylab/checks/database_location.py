"""Quay's database, noted on Quay's hosts or in the cluster: the note of the schema's version holds
for it alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quaylab.endpoints import netloc
from quaylab.model import ManagedFile
from quaylab.paths import DATABASE_NOTE
from quaylab.settings.loading import Settings
from quaylab.topology import Topology

# In the place of an address: the hosts of the group `database`, or the cluster. Quay reaches these
# hosts at another address when they become several.
OWN = "own"


def location(settings: Settings, topology: Topology) -> str:
    """Return the server's address and port, the database's name, and Quay's role, in one line."""
    database = topology.database
    server = netloc(database.address, database.port) if database.is_elsewhere else OWN
    return f"{server} {settings.database_name} {settings.database_user}"


def note(settings: Settings, topology: Topology) -> ManagedFile:
    """Return the note, which every Quay host has."""
    return ManagedFile(DATABASE_NOTE, f"{location(settings, topology)}\n", mode=0o644)


def problems(now: str, notes: Mapping[str, str | None]) -> Iterator[str]:
    """Yield why Quay would work on another database than the one whose schema is noted.

    Args:
        now: the database of this run.
        notes: the notes that hold, by their places. What is from before this note has none.
    """
    for place, before in notes.items():
        if before in (None, now):
            continue
        yield (
            f"{_setting(before, now)}: Quay's database is {before!r} (server, database, role), as "
            f"{place} says, and this run would have Quay use {now!r}; set it back, or move the "
            "rows there first: docs/external-services.md#another-database"
        )


def _setting(before: str, now: str) -> str:
    """Return the setting of the first part that differs."""
    names = ("database_host", "database_name", "database_user")
    pairs = zip(names, before.split(), now.split(), strict=False)
    return next((name for name, old, new in pairs if old != new), names[0])
