"""The health of the node and of the services that it needs."""

import platform
from typing import Any

import redis
import sqlalchemy.exc
from flask import Flask
from sqlalchemy import text

from standin import events, sessions, storage
from standin.config import Settings

Report = tuple[dict[str, Any], int, dict[str, str]]
NEVER_OLD = {"Cache-Control": "no-cache, no-store, must-revalidate"}


def add_health(app: Flask, settings: Settings, engine: sqlalchemy.Engine) -> None:
    """Add its routes."""

    def database_answers() -> bool:
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1 FROM account LIMIT 1"))
        except sqlalchemy.exc.SQLAlchemyError:
            return False
        return True

    def redis_answers() -> bool:
        try:
            return all(
                events.client(settings, key).ping()
                for key in ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS")
            )
        except redis.RedisError:
            return False

    def report(**services: bool) -> Report:
        status = 200 if all(services.values()) else 503
        data: dict[str, Any] = {"services": services}
        if sessions.signed_in() in settings.super_users:
            data |= _details(settings, services)
        return {"data": data, "status_code": status}, status, NEVER_OLD

    @app.get("/health")
    @app.get("/health/instance")
    def instance() -> Report:
        """Report this node alone, without Redis and storage, which all nodes share."""
        return report(
            auth=True,
            database=database_answers(),
            disk_space=storage.disk_has_space(),
            registry_gunicorn=storage.answers(),
            service_key=True,
            web_gunicorn=True,
        )

    @app.get("/status")
    @app.get("/health/endtoend")
    def end_to_end() -> Report:
        """Report everything that a push needs."""
        return report(
            auth=True,
            database=database_answers(),
            redis=redis_answers(),
            storage=storage.is_writable(),
        )

    @app.get("/health/warning")
    def warning() -> Report:
        """Report what may become a problem."""
        return report(disk_space_warning=storage.disk_has_space())


def _details(settings: Settings, services: dict[str, bool]) -> dict[str, Any]:
    """Return what only a superuser sees."""
    return {
        "config_provider": "file",
        "hostname": platform.node(),
        # Quay's own default.
        "is_testing": settings.values.get("TESTING", True),
        "local_service_key_id": "none",
        "notes": [],
        "services_expanded": {name: {"status": status} for name, status in services.items()},
    }
