"""The part of Quay's API under /api/v1 that an operator's tools use."""

from flask import Blueprint, Flask, redirect, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Engine
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from standin.accounts import Accounts
from standin.api import not_done, organizations, permissions, repositories, superuser, tags, users
from standin.api.requests import Api
from standin.config import Settings

PREFIX = "/api/v1"


def add_api(app: Flask, settings: Settings, engine: Engine, accounts: Accounts) -> None:
    """Add all routes under /api/v1, and Quay's answer to unknown ones."""
    api = Api(settings, engine, accounts)
    for part in (users, superuser, organizations, repositories, permissions, tags, not_done):
        blueprint = Blueprint(part.__name__.replace(".", "-"), __name__, url_prefix=PREFIX)
        part.add_routes(blueprint, api)
        app.register_blueprint(blueprint)

    @app.errorhandler(NotFound)
    def unknown(error: NotFound) -> ResponseReturnValue | HTTPException:
        if request.path.startswith(PREFIX) and not request.path.endswith("/"):
            query = request.query_string.decode()
            address = f"{settings.url}{request.path}/{'?' if query else ''}{query}"
            return redirect(address, 308)
        return error

    @app.errorhandler(MethodNotAllowed)
    def wrong_method(error: MethodNotAllowed) -> ResponseReturnValue | HTTPException:
        if not request.path.startswith(PREFIX):
            return error
        message = "The method is not allowed for the requested URL."
        return {"message": message}, 405, {"Allow": ", ".join(error.valid_methods or ())}
