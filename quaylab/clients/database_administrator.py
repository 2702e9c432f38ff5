"""Preparing an external database server for Quay, as its administrator. An administrator at RDS or
Cloud SQL is not a superuser."""

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
    """Return the administrator's password, for this run only.

    Raises:
        Refusal: it is not given, and there is no terminal to ask at.
    """
    if value := environment.get(VARIABLE):
        return SecretStr(value)
    if ask is None:
        raise Refusal(
            [
                "database_admin: the database doesn't answer Quay, and preparing it needs the "
                f"administrator's password; give it as {VARIABLE} in the environment, or run "
                "at a terminal"
            ]
        )
    return SecretStr(ask("password of database_admin (for this run only): "))


def missing_steps(
    settings: Settings, credentials: Credentials, admin: Login, address: str, port: int
) -> tuple[Step, ...]:
    """Return the steps that are needed before Quay can use the database, in their order.

    Raises:
        Unreachable: the administrator can't log in, or lacks a right; with the reason.
    """
    administrations = {"postgresql": postgresql_administration, "mysql": mysql_administration}
    administration = administrations[settings.database_engine]
    return probes.query(
        lambda: administration.missing_steps(settings, credentials, admin, address, port),
        settings,
        "database",
    )


def execute_step(settings: Settings, admin: Login, step: Step, address: str, port: int) -> None:
    """Execute one step.

    Raises:
        Unreachable: the server's reason, in one line.
    """
    connect = sql.postgresql if settings.database_engine == "postgresql" else sql.mysql
    login = Login(admin.user, admin.password, step.database)

    def run() -> None:
        with connect(settings, login, address, port) as cursor:
            cursor.execute(step.statement)

    probes.query(run, settings, "database")
