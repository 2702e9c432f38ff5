"""MySQL, or MariaDB, as Quay's database: up to Quay 3.16, with latin1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from quaylab.services.database_engine import DatabaseEngine
from quaylab.settings.types import ImageName, Section

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

# Characters.
LONGEST_USER = 32


class MySQLSettings(Section):
    """MySQL."""

    mysql_image: ImageName = Field(description="MySQL's image")


class MySQL(DatabaseEngine):
    port = 3306
    uid = 27
    prefix = "MYSQL"
    start = "run-mysqld"
    data = "/var/lib/mysql/data"
    health = "bash -c 'mysqladmin --host=127.0.0.1 ping'"
    refuses_password = (
        "MYSQL_PWD=$MYSQL_PASSWORD mysqladmin --host=127.0.0.1 --user=$MYSQL_USER "
        "--connect-timeout=5 status 2>&1 | grep -q 'Access denied'"
    )
    client = (
        "MYSQL_PWD=$MYSQL_PASSWORD mysql --host=127.0.0.1 --user=$MYSQL_USER "
        "--skip-column-names --raw"
    )
    scheme = "mysql+pymysql"
    packaged = ("mariadb", "11.8")
    # A minor release (8.4) can't read the data of the previous one (8.0).
    numbers_of_major = 2
    own_databases = ("mysql", "sys", "information_schema", "performance_schema")
    own_users = ("root",)

    def image(self, settings: Settings) -> str:
        return settings.mysql_image

    def setting_problems(self, settings: Settings) -> Iterator[str]:
        if len(settings.database_user) > LONGEST_USER:
            yield (
                f"database_user: {settings.database_user} has more than the {LONGEST_USER} "
                "characters that MySQL takes; set a shorter one, such as quay"
            )

    def tls(self, authority: str) -> dict[str, Any]:
        return {"ssl": {"ca": authority}}
