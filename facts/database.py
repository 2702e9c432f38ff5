"""The database in its container, asked by its administrator over the local socket."""

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


@dataclass(frozen=True)
class DatabaseState:
    """One database.

    ``extensions`` are the installed versions (None: not installed) of all extensions that the
    server has. ``role_superuser`` is None if the role isn't there.
    """

    character_set: str
    extensions: dict[str, str | None]
    role_superuser: bool | None


POSTGRESQL = """
SELECT json_build_object(
  'character_set', pg_encoding_to_char(encoding),
  'role_superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = '{user}'),
  'extensions', (SELECT json_object_agg(name, installed_version) FROM pg_available_extensions))
FROM pg_database WHERE datname = current_database()
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
            query = " ".join(POSTGRESQL.format(user=user).split())
            client = f'psql --no-psqlrc --tuples-only --no-align --dbname={database} --command="$0"'
        else:
            query = " ".join(MYSQL.format(database=database).split())
            client = 'mysql --user=root --skip-column-names --raw --execute="$0"'
        command = host_engine().execute_bash(container, shlex.quote(client), query)
        return StringCommand(successful_output(command))  # it may not run yet

    @staticmethod
    def default() -> DatabaseState | None:
        return None

    def process(self, output: list[str]) -> DatabaseState | None:
        text = "".join(output).strip()
        if not text:
            return None
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise FactProcessError(f"the database's answer can't be read: {error}") from error
        return DatabaseState(
            character_set=answer["character_set"],
            extensions=answer.get("extensions") or {},
            role_superuser=answer.get("role_superuser"),
        )
