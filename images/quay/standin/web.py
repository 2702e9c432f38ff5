"""The web application: pages and sessions; health, the API and the registry are beside it."""

from typing import NoReturn

import sqlalchemy.exc
from flask import Flask, Response, jsonify, request

from standin import (
    api,
    config,
    database,
    events,
    health,
    registry,
    sessions,
    storage,
    storage_proxy,
    version,
)
from standin.accounts import Accounts
from standin.refusals import not_done

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
    api.add_api(app, settings, engine, accounts)
    app.register_blueprint(
        registry.make_blueprint(settings, engine, accounts, events.UserEvents(settings))
    )
    health.add_health(app, settings, engine)
    storage_proxy.add_storage_proxy(app, settings)
    _add_pages(app)

    @app.before_request
    def read_body() -> None:
        """Read the body: unread, it would reset the connection before nginx has the answer."""
        if "/blobs/uploads/" not in request.path:
            request.get_data()

    @app.errorhandler(sqlalchemy.exc.OperationalError)
    def database_is_away(_: Exception) -> tuple[str, int]:
        return "The database does not answer.", 503

    @app.errorhandler(storage.StorageError)
    def storage_is_away(error: Exception) -> tuple[str, int]:
        app.logger.error("object storage: %s", error)
        return "The object storage does not answer.", 503

    return app


def _add_pages(app: Flask) -> None:
    @app.get("/")
    @app.get("/setup/")
    def page() -> Response:
        """Answer where Quay has its browser interface."""
        return Response(PAGE.format(version=version()), content_type="text/html")

    @app.route("/oauth/<path:rest>", methods=["GET", "POST"])
    def oauth(rest: str) -> NoReturn:
        """Refuse tokens of applications."""
        not_done("a token of an application")

    @app.get("/csrf_token")
    def csrf_token() -> Response:
        """Return the token that a session's changes need."""
        return jsonify(csrf_token=sessions.csrf_token())
