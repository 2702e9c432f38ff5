"""Common parts of the API's requests: the account, the sent data, and errors."""

import json
from typing import Any, NoReturn

from flask import Response, abort, make_response, request
from sqlalchemy import Connection, Engine
from werkzeug.exceptions import BadRequest

from standin import permissions, repositories, sessions
from standin.account import Account
from standin.accounts import Accounts
from standin.config import Settings
from standin.repositories import Repository

Answer = Response | tuple[Any, int]


class Api:
    """Settings, database and accounts, and error answers."""

    def __init__(self, settings: Settings, engine: Engine, accounts: Accounts) -> None:
        self.settings = settings
        self.engine = engine
        self.accounts = accounts

    def fail(self, status: int, kind: str, message: str, **more: Any) -> NoReturn:
        """End the request with Quay's form of an error."""
        abort(
            make_response(
                {
                    **more,
                    "detail": message,
                    "error_message": message,
                    "error_type": kind,
                    "title": kind,
                    "type": f"{self.settings.url}/api/v1/error/{kind}",
                    "status": status,
                },
                status,
            )
        )

    def invalid(self, message: str) -> NoReturn:
        """End an invalid request."""
        self.fail(400, "invalid_request", message)

    def not_found(self) -> NoReturn:
        """End a request for something that doesn't exist."""
        self.fail(404, "not_found", "Not Found")

    def forbid(self) -> NoReturn:
        """End a request that the account may not make."""
        self.fail(403, "insufficient_scope", "Unauthorized")

    def body(self, *required: str) -> dict[str, Any]:
        """Return the sent JSON, which must have these keys."""
        try:
            asked = request.get_json()
        except BadRequest:
            message = "The browser (or proxy) sent a request that this server could not understand."
            refuse(message)
        if not isinstance(asked, dict):
            self.invalid(f"{asked!r} is not of type 'object'")
        for key in required:
            if key not in asked:
                self.invalid(f"{key!r} is a required property")
        return asked

    def account_if_any(self, connection: Connection) -> Account | None:
        """Return the account of the bearer token or session; basic authentication is ignored."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.accounts.by_access_token(connection, token)
        name = sessions.signed_in()
        account = self.accounts.find(connection, name) if name else None
        if request.method != "GET" and not sessions.csrf_token_is_valid():
            refuse_csrf(f" (authorized: user {account.name})" if account else "")
        return account

    def account(self, connection: Connection, **more: Any) -> Account:
        """Return the account; refuse a request without one."""
        account = self.account_if_any(connection)
        if account is None or not account.is_enabled:
            self.fail(401, "invalid_token", "Requires authentication", **more)
        return account

    def superuser(self, connection: Connection) -> Account:
        """Return the account, if it is a superuser."""
        account = self.account(connection)
        if account.name not in self.settings.super_users:
            self.forbid()
        return account

    def owner(self, connection: Connection, namespace: str) -> Account:
        """Return the account, if it owns the namespace."""
        account = self.account(connection)
        if not self.accounts.owns(connection, account, namespace):
            self.forbid()
        return account

    def repository(self, connection: Connection, path: str, wanted: str) -> Repository:
        """Return the repository, if it exists and the account has that role in it."""
        namespace, name = repositories.split(path)
        account = self.account_if_any(connection)
        found = repositories.find(connection, namespace, name)
        role = permissions.role_of(connection, self.accounts, account, namespace, found)
        if not permissions.covers(role, wanted):
            if account is None:
                self.account(connection)
            self.forbid()
        if found is None:
            self.not_found()
        return found


def nothing() -> Response:
    """Return the answer to a deletion."""
    return Response(status=204, content_type="application/json")


def refuse(message: str) -> NoReturn:
    """End the request with the other form of Quay's errors."""
    abort(make_response({"message": message}, 400))


def refuse_csrf(who: str = "") -> NoReturn:
    """End a request with a CSRF token that isn't its session's."""
    error = {"error": f"CSRF token was invalid or missing.{who}"}
    abort(make_response(json.dumps(error), 403))
