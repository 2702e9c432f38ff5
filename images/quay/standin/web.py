"""The web application: health, pages and sessions; the API and the registry are beside it."""

from typing import Any

import redis
import sqlalchemy.exc
from flask import Flask, Response, jsonify
from sqlalchemy import text

from standin import api, config, database, events, registry, sessions, storage, version
from standin.accounts import Accounts
from standin.config import Settings

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Stand-in for Quay {version}</title></head>
<body><h1>Quaylab's stand-in for Quay {version}</h1>
<p>This is not Quay: it answers as Quay {version} does, and has no browser interface.</p>
</body></html>
"""


def create_app() -> Flask:
    """Make the application from the configuration bundle."""
    settings = config.load()
    app = Flask(__name__, static_folder=None)
    sessions.configure(app, settings)
    engine = database.make_engine(settings)
    accounts = Accounts(settings)
    app.register_blueprint(api.make_blueprint(settings, engine, accounts))
    app.register_blueprint(
        registry.make_blueprint(settings, engine, accounts, events.UserEvents(settings))
    )
    _add_health(app, settings, engine)
    _add_pages(app)

    @app.errorhandler(sqlalchemy.exc.OperationalError)
    def database_is_away(_: Exception) -> tuple[str, int]:
        return "The database does not answer.", 503

    @app.errorhandler(storage.StorageError)
    def storage_is_away(error: Exception) -> tuple[str, int]:
        app.logger.error("object storage: %s", error)
        return "The object storage does not answer.", 503

    return app


def _add_health(app: Flask, settings: Settings, engine: sqlalchemy.Engine) -> None:
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

    def report(**services: bool) -> tuple[dict[str, Any], int]:
        status = 200 if all(services.values()) else 503
        return {"data": {"services": services}, "status_code": status}, status

    @app.get("/health")
    @app.get("/health/instance")
    def instance() -> tuple[dict[str, Any], int]:
        """This node alone: neither Redis nor storage, which all nodes share."""
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
    def end_to_end() -> tuple[dict[str, Any], int]:
        """Everything that a push needs."""
        return report(
            auth=True,
            database=database_answers(),
            redis=redis_answers(),
            storage=storage.is_writable(),
        )

    @app.get("/health/warning")
    def warning() -> tuple[dict[str, Any], int]:
        """What may become trouble."""
        return report(disk_space_warning=storage.disk_has_space())


def _add_pages(app: Flask) -> None:
    @app.get("/")
    @app.get("/setup/")
    def page() -> Response:
        """Where Quay has its browser interface."""
        return Response(PAGE.format(version=version()), content_type="text/html")

    @app.get("/csrf_token")
    def csrf_token() -> Response:
        """The token that a session's changes must carry."""
        return jsonify(csrf_token=sessions.csrf_token())
