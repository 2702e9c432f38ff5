"""Dumps of Quay's database: which there are, which one is due, which one is restored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from pydantic import BaseModel, ConfigDict

from quaylab.paths import SCRIPTS, VAR
from quaylab.problems import refuse

DIRECTORY = f"{VAR}/dumps"
LOCK = f"{DIRECTORY}/lock"
# No setting may name a database like these: its identifiers have no hyphen.
SCRATCH, REPLACED = "quaylab-scratch", "quaylab-replaced"
# A dump of a killed run is taken up by the next within this time. Later, too much would be missing
# from it that was pushed meanwhile.
FRESH_SECONDS = 900


class Dump(BaseModel):
    """A dump that was checked by restoring it, as the JSON beside it tells.

    ``before`` is the version whose schema it has (None: not known), ``after`` the one that the
    upgrade went to; ``revision`` is the schema's own, ``credentials`` the fingerprint of those
    without which its encrypted rows can't be read.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    before: str | None
    after: str
    engine: str
    credentials: str
    revision: str
    time: str
    tables: int
    rows: int
    size: int
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name}.dump"

    def __str__(self) -> str:
        return f"{self.name} ({self.before or 'an unknown version'}, {self.size} bytes)"


@dataclass(frozen=True)
class DumpsState:
    """What the database's host reports. ``size`` is None if the database does not answer,
    ``revision`` if it has no schema; ``now`` is the host's time, sizes are in bytes."""

    dumps: tuple[Dump, ...]
    revision: str | None
    size: int | None
    free: int
    now: float

    def space_problem(self) -> str | None:
        """Why a dump and a scratch copy, which may share a disk, don't fit; None if they do."""
        needed = 2 * (self.size or 0)
        if self.free >= needed:
            return None
        return (
            f"disk: a dump of the database and the copy that checks it need {needed} bytes, found "
            f"are {self.free} on {DIRECTORY} or on the database's disk; make room and run again"
        )


@dataclass(frozen=True)
class Upgrade:
    """What a dump is made for."""

    before: str | None
    after: str
    engine: str
    credentials: str

    def name(self, now: float) -> str:
        """A new dump's name; names of one upgrade sort by time."""
        stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        return f"{self.before or 'unknown'}-to-{self.after}-{stamp}"

    def dump_in(self, state: DumpsState) -> Dump | None:
        """The dump that is there already for this upgrade, if it will do.

        One of another revision than the database is at was made before the migration began, and
        can't be made again.
        """
        for dump in newest_first(state.dumps):
            made_for = Upgrade(dump.before, dump.after, dump.engine, dump.credentials)
            fresh = state.now - datetime.fromisoformat(dump.time).timestamp() < FRESH_SECONDS
            if made_for == self and (fresh or dump.revision != state.revision):
                return dump
        return None


def newest_first(dumps: Iterable[Dump]) -> list[Dump]:
    return sorted(dumps, key=lambda dump: dump.time, reverse=True)


def choose(
    dumps: Sequence[Dump], name: str | None, engine: str, credentials: str, kept_in: str
) -> Dump:
    """The dump to restore: the named one, by default the newest.

    Args:
        credentials: the fingerprint of those that the database is run with.
        kept_in: where they are kept, for the error.

    Raises:
        Refusal: no such dump, or one that doesn't belong to engine or credentials.
    """
    known = newest_first(dumps)
    found = next((dump for dump in known if name in (None, dump.name)), None)
    if not known:
        refuse([f"restore: there is no dump in {DIRECTORY}"])
    if found is None:
        listed = "".join(f"\n    {dump}" for dump in known)
        refuse([f"restore: there is no dump {name}; in {DIRECTORY} are:{listed}"])
    assert found is not None  # else it was refused
    if found.engine != engine:
        refuse([f"database_engine: {found.name} is of {found.engine}, not of {engine}"])
    if found.credentials != credentials:
        refuse(
            [
                f"restore: {found.name} belongs to the credentials {found.credentials}, and "
                f"{kept_in} holds {credentials}; its encrypted rows can't be read with others: "
                "restore that file from a backup first"
            ]
        )
    return found


def script(engine: str) -> str:
    """How an engine dumps, loads, counts and swaps its databases: bash for its container."""
    return (SCRIPTS / f"{engine}.bash").read_text()
