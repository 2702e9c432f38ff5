"""Dumps of Quay's database: before an upgrade, and for a restore."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pydantic import BaseModel, ConfigDict

from quaylab.paths import SCRIPTS, VAR
from quaylab.problems import refuse

DIRECTORY = f"{VAR}/dumps"
LOCK = f"{DIRECTORY}/lock"
# Quay's database can't have these names: the setting allows no hyphen.
SCRATCH, REPLACED = "quaylab-scratch", "quaylab-replaced"
# Within this time the next run uses the dump of a killed run. Later, the dump would lack too much
# that was pushed meanwhile.
FRESH_SECONDS = 900
# How often the database's size is needed: for a dump with the copy that checks it, and for a copy
# that replaces the database. MySQL's dump has a statement for each row, and its binary log what
# replaces the database.
DUMPED = {"postgresql": 2, "mysql": 3}
RESTORED = {"postgresql": 1, "mysql": 2}


class Dump(BaseModel):
    """A dump, as described by the JSON file beside it. It was checked by restoring it.

    ``before`` is the version of its schema (None: unknown), ``after`` the version of the upgrade.
    ``revision`` is the schema's revision. ``credentials`` is the fingerprint of the credentials
    that its encrypted rows need. ``size`` is in bytes, and so is ``database_size``, that of the
    database that was dumped, which older dumps lack.
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
    database_size: int | None = None

    def is_before_unfinished_upgrade(self, schema: str, revision: str | None) -> bool:
        """Whether it is from before an upgrade that has changed the schema, which is now of this
        revision, and has not ended: the noted version is still this one."""
        return self.before == schema != self.after and self.revision != revision

    @property
    def file(self) -> str:
        return f"{self.name}.dump"

    def __str__(self) -> str:
        return f"{self.name} ({self.before or 'an unknown version'}, {self.size} bytes)"


@dataclass(frozen=True)
class DumpsState:
    """The report of the database's host. ``size`` is None if the database does not answer,
    ``revision`` if it has no schema. ``now`` is the host's time; sizes are in bytes. ``data_free``
    is what is free on the database's disk (None: it does not run), ``free`` the least of that and
    of what is free for dumps."""

    dumps: tuple[Dump, ...]
    revision: str | None
    size: int | None
    free: int
    now: float
    data_free: int | None = None

    def space_problem(self, engine: str, others: Iterable[DumpsState] = ()) -> str | None:
        """Say why there is no space for a dump and a scratch copy, which may share a disk.

        Args:
            others: the reports of the database's hosts: the scratch copy is replicated.
        """
        needed = DUMPED[engine] * (self.size or 0)
        found = min([self.free, *_free_for_data(others)])
        if found >= needed:
            return None
        return (
            f"disk: a dump of the database and the copy that checks it need {needed} bytes, found "
            f"are {found} on {DIRECTORY} or on a database's disk; make room and run again"
        )


def restore_space_problem(dump: Dump, states: Iterable[DumpsState]) -> str | None:
    """Say why there is no space for a dump's database beside the present one.

    Args:
        states: the reports of the database's hosts, all of which get it. Where the database does
            not run, its disk is not known.
    """
    states = list(states)
    size = dump.database_size or max((state.size or 0 for state in states), default=0)
    needed, found = RESTORED[dump.engine] * size, min(_free_for_data(states), default=None)
    if found is None or found >= needed:
        return None
    return (
        f"disk: {dump.name} is restored beside the present database, which needs {needed} bytes on "
        f"the database's disk, found are {found}; nothing was changed; make room and run again"
    )


def _free_for_data(states: Iterable[DumpsState]) -> list[int]:
    return [each.data_free for each in states if each.data_free is not None]


@dataclass(frozen=True)
class Upgrade:
    """An upgrade for which a dump is made. If both versions are the same, it is none.

    ``since``: when the database got its present schema, by an upgrade or a restore, in seconds
    since 1970; 0: unknown. An older dump has other content.
    ``has_begun``: a migration may have changed the database, also while its revision is the old
    one: a migration of Quay's commits rows before that, and MySQL each change of a table.
    """

    before: str | None
    after: str
    engine: str
    credentials: str
    since: float = field(default=0, compare=False)
    has_begun: bool = field(default=False, compare=False)

    def name(self, now: float) -> str:
        """Return a new dump's name; the names of one upgrade sort by time."""
        stamp = datetime.fromtimestamp(now, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        if self.before == self.after:
            return f"{self.after}-{stamp}"
        return f"{self.before or 'unknown'}-to-{self.after}-{stamp}"

    def existing_dump(self, state: DumpsState) -> Dump | None:
        """Return the existing dump for this upgrade if it can be used.

        It can if it is fresh and of the present schema's time, or if the migration has begun,
        because it can't be made again then. Where the note of that is lost, the migration has begun
        if the database's revision is another one.
        """
        for dump in newest_first(state.dumps):
            made_for = Upgrade(dump.before, dump.after, dump.engine, dump.credentials)
            time = datetime.fromisoformat(dump.time).timestamp()
            fresh = time >= self.since and state.now - time < FRESH_SECONDS
            begun = self.has_begun or state.revision not in (None, dump.revision)
            if made_for == self and (fresh or begun):
                return dump
        return None


def newest_first(dumps: Iterable[Dump]) -> list[Dump]:
    return sorted(dumps, key=lambda dump: dump.time, reverse=True)


def choose(
    dumps: Sequence[Dump], name: str | None, engine: str, credentials: str, credentials_path: str
) -> Dump:
    """Return the dump to restore: the named one, by default the newest.

    Args:
        credentials: the fingerprint of the database's credentials.
        credentials_path: their file, for the error.

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
                f"{credentials_path} holds {credentials}; its encrypted rows can't be read with "
                "others: restore that file from a backup first"
            ]
        )
    return found


def script(engine: str) -> str:
    """Return the bash script that dumps, loads, counts and swaps databases in the container."""
    return (SCRIPTS / f"{engine}.bash").read_text()
