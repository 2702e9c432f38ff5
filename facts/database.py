"""The database in its container."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.engines.base import successful_output
from quaylab.services.database import ENGINES
from quaylab.services.environment import with_environment


@dataclass(frozen=True)
class DatabaseState:
    """One database.

    ``extensions`` are the installed versions (None: not installed) of all extensions that the
    server has. ``role_superuser`` is None if the role isn't there. ``collations`` are the versions
    of the operating system's sort order with which the indexes were made, and that of the server
    now; None where they are not known, as before PostgreSQL 15.
    """

    character_set: str
    extensions: dict[str, str | None]
    role_superuser: bool | None
    collations: tuple[str | None, str | None] = (None, None)

    @property
    def has_collation_mismatch(self) -> bool:
        """Whether indexes on text may be wrong, because the server now sorts in another way."""
        made, now = self.collations
        return None not in (made, now) and made != now


POSTGRESQL = """
SELECT json_build_object(
  'character_set', pg_encoding_to_char(encoding),
  'role_superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = '{user}'),
  'extensions', (SELECT json_object_agg(name, installed_version) FROM pg_available_extensions))
FROM pg_database WHERE datname = current_database();
SELECT $query$
SELECT json_build_object('collations',
  json_build_array(datcollversion, pg_database_collation_actual_version(oid)))
FROM pg_database WHERE datname = current_database()
$query$ WHERE current_setting('server_version_num')::int >= 150000 \\gexec
"""
MYSQL = """
SELECT JSON_OBJECT('character_set', default_character_set_name)
FROM information_schema.schemata WHERE schema_name = '{database}'
"""


class Database(FactBase[DatabaseState | None]):
    """A database's character set, extensions and role; None if it doesn't answer.

    + container: the container's name
    + engine: postgresql or mysql
    + database: the database's name
    + user: Quay's role
    """

    def command(self, container: str, engine: str, database: str, user: str) -> StringCommand:
        if engine == "postgresql":
            query = POSTGRESQL.format(user=user)
            # On standard input: an argument of --command has no \gexec.
            login = f'{ENGINES[engine].client} --set=ON_ERROR_STOP=1 --dbname={database} <<<"$0"'
            client = with_environment(login)
        else:
            query = " ".join(MYSQL.format(database=database).split())
            # Of information_schema alone, which has nothing of Quay's to call.
            client = 'mysql --user=root --skip-column-names --raw --execute="$0"'
        command = host_engine().execute_bash(container, shlex.quote(client), query)
        return StringCommand(successful_output(command))  # it may not run yet

    @staticmethod
    def default() -> DatabaseState | None:
        return None

    def process(self, output: list[str]) -> DatabaseState | None:
        answer: dict[str, Any] = {}
        try:
            for line in filter(str.strip, output):
                answer |= json.loads(line)
        except ValueError as error:
            raise FactProcessError(f"the database's answer can't be read: {error}") from error
        if not answer:
            return None
        made, now = answer.get("collations") or (None, None)
        return DatabaseState(
            character_set=answer["character_set"],
            extensions=answer.get("extensions") or {},
            role_superuser=answer.get("role_superuser"),
            collations=(made, now),
        )
