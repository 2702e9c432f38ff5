"""A database server that runs elsewhere, as its administrator: what Quay lacks there, and how to
make it. An administrator at RDS or Cloud SQL is no superuser."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import SecretStr

from quaylab.clients import mysql_administration, postgresql_administration, probes, sql
from quaylab.database_login import Login, Step
from quaylab.problems import Refusal
from quaylab.secrets.credentials import Credentials
from quaylab.secrets.given import variable
from quaylab.settings.loading import Settings

VARIABLE = variable("database_admin_password")


def password(environment: Mapping[str, str], ask: Callable[[str], str] | None) -> SecretStr:
    """The administrator's password, for this run only.

    Raises:
        Refusal: it is not given, and can't be asked for.
    """
    if given := environment.get(VARIABLE):
        return SecretStr(given)
    if ask is None:
        raise Refusal(
            [
                "database_admin: the database doesn't answer Quay, and to make what is missing "
                f"needs this one's password; give it as {VARIABLE} in the environment, or run at "
                "a terminal"
            ]
        )
    return SecretStr(ask("password of database_admin (for this run only): "))


def missing(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    """What has to be done before Quay can use the database, in its order.

    Raises:
        Unreachable: the administrator isn't let in, or can't do it; with the reason.
    """
    administrations = {"postgresql": postgresql_administration, "mysql": mysql_administration}
    administration = administrations[settings.database_engine]
    return probes.asked(
        lambda: administration.missing(settings, credentials, admin, address, port),
        settings,
        "database",
    )


def take(settings: Settings, admin: Login, step: Step, address: str, port: int) -> None:
    """Do one step.

    Raises:
        Unreachable: the server's reason, in one line.
    """
    connected = sql.postgresql if settings.database_engine == "postgresql" else sql.mysql
    login = Login(admin.user, admin.password, step.database)

    def run() -> None:
        with connected(settings, login, address, port) as cursor:
            cursor.execute(step.statement)

    probes.asked(run, settings, "database")
