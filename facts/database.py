"""The database in its container, asked by its administrator over the local socket."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.engines import docker


@dataclass(frozen=True)
class Extension:
    """An extension: the version that can be installed, and the installed version (or None)."""

    available: str
    installed: str | None


@dataclass(frozen=True)
class DatabaseState:
    """One database. ``role_superuser`` is None if the role isn't there."""

    version: str
    character_set: str
    extensions: dict[str, Extension]
    role_superuser: bool | None


POSTGRESQL = """
SELECT json_build_object(
  'version', current_setting('server_version'),
  'character_set', pg_encoding_to_char(encoding),
  'role_superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = '{user}'),
  'extensions', (SELECT json_object_agg(name, json_build_array(default_version, installed_version))
                 FROM pg_available_extensions))
FROM pg_database WHERE datname = current_database()
"""
MYSQL = """
SELECT JSON_OBJECT('version', VERSION(), 'character_set', default_character_set_name)
FROM information_schema.schemata WHERE schema_name = '{database}'
"""


class Database(FactBase[DatabaseState | None]):
    """A database's version, character set, extensions and role; None if it doesn't answer.

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
        command = docker.execute_bash(container, shlex.quote(client), query)
        return StringCommand(command, "2>/dev/null || :")  # it may not run yet

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
        extensions = (answer.get("extensions") or {}).items()
        return DatabaseState(
            version=answer["version"],
            character_set=answer["character_set"],
            extensions={name: Extension(*versions) for name, versions in extensions},
            role_superuser=answer.get("role_superuser"),
        )
