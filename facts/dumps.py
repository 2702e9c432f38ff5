"""The dumps on the database's host, and the space for a new one."""

from __future__ import annotations

import json
import shlex

from pyinfra.api import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.lines import by_first_word
from quaylab.services.database import ENGINES
from quaylab.services.environment import with_environment
from quaylab.upgrade.dumps import DIRECTORY, LOCK, Dump, DumpsState

POSTGRESQL = (
    "{client} --field-separator=' ' --dbname={database} "
    "--command=\"SELECT 'size', pg_database_size(current_database())\" "
    "--command=\"SELECT 'revision', version_num FROM alembic_version\""
)
MYSQL = (
    "{client} --execute=\"SELECT CONCAT('size ', "
    "CAST(COALESCE(SUM(data_length + index_length), 0) AS UNSIGNED)) "
    "FROM information_schema.tables WHERE table_schema = '{database}'; "
    "SELECT CONCAT('revision ', version_num) FROM \\`{database}\\`.alembic_version\""
)
QUERIES = {"postgresql": POSTGRESQL, "mysql": MYSQL}
# No other line counts: Quay's role owns the table with the revision, and could print any.
ANSWERS = "^(size|revision) "


class Dumps(FactBase[DumpsState]):
    """A :class:`quaylab.upgrade.dumps.DumpsState`.

    + container: the database's container
    + engine: postgresql or mysql
    + database: the database's name
    + data: the data's directory in the container

    It waits for a command of a killed run that is still working on the dumps.
    """

    def command(self, container: str, engine: str, database: str, data: str) -> StringCommand:
        query = QUERIES[engine].format(client=ENGINES[engine].client, database=database)
        return StringCommand(
            f"if test -e {LOCK}; then flock --shared {LOCK} true; fi;",
            "printf 'now %s\\n' \"$(date +%s)\";",
            # The free space of the directory or, if it isn't there yet, of its parent.
            f"df -B1 --output=avail {DIRECTORY} /var/lib 2>/dev/null | sed -n '2s/^ */free /p';",
            host_engine().execute(container, f"df -B1 --output=avail {data}"), "2>/dev/null |",
            "sed -n '2s/^ */data_free /p';",
            # A database without a schema answers only the first question.
            host_engine().execute_bash(container, shlex.quote(with_environment(query))),
            f"2>/dev/null | grep -aE '{ANSWERS}';",
            f"for signed in {DIRECTORY}/*.json; do",
            'test ! -e "${signed%.json}.dump" ||',
            'printf "dump %s %s\\n" "$(basename "$signed" .json)" "$(cat "$signed")"; done',
        )  # fmt: skip

    @staticmethod
    def default() -> DumpsState:
        return DumpsState((), None, None, 0, 0)

    def process(self, output: list[str]) -> DumpsState:
        values = by_first_word(output)

        def one(key: str) -> str | None:
            return values.get(key, [None])[0]

        try:
            free = int(one("free") or 0)
            data_free = int(found) if (found := one("data_free")) else None
            return DumpsState(
                dumps=tuple(_dump(value) for value in values.get("dump", [])),
                revision=one("revision"),
                size=int(size) if (size := one("size")) else None,
                free=free if data_free is None else min(free, data_free),
                now=float(one("now") or 0),
                data_free=data_free,
            )
        except ValueError as error:
            raise FactProcessError(f"{DIRECTORY} can't be read: {error}") from error


def _dump(line: str) -> Dump:
    name, _, rest = line.partition(" ")
    return Dump.model_validate({"name": name, **json.loads(rest)})
