"""The token service, with which every docker login, push and pull begins."""

import re
from typing import Any

from flask import Blueprint, Response, abort, jsonify, make_response, request
from sqlalchemy import Connection

from standin import permissions, repositories
from standin.access import Access
from standin.account import Account
from standin.events import UserEvents
from standin.passwords import LoginError, TooManyLogins

PATH = re.compile(r"[^:\s]+")
KNOWN = {"pull", "push", "*"}


def add_token_service(blueprint: Blueprint, access: Access, user_events: UserEvents) -> None:
    """Add its routes."""

    @blueprint.get("/")
    def support() -> Response:
        """Answer whether the client has a token, and where it gets one."""
        status = 401 if access.claims() is None else 200
        return make_response("true", status, access.challenge())

    @blueprint.get("/auth")
    def token() -> Response:
        """Return a token for the part of the wanted scopes that the account may have."""
        scopes = [scope for scope in request.args.getlist("scope") if scope]
        account = _who_asks(access)
        if account is None and not scopes:
            access.unauthorized()
        with access.engine.begin() as connection:
            grants = [_grant(access, connection, account, scope) for scope in scopes]
        if account:
            user_events.publish(account.name, "docker-cli", action="login")
        return jsonify(token=access.issue(account, grants))


def too_many_logins(error: TooManyLogins) -> Response:
    """Return the answer to a login after too many wrong passwords."""
    return make_response(str(error), 429, {"Retry-After": str(int(error.seconds))})


def _who_asks(access: Access) -> Account | None:
    credentials = request.authorization
    if credentials is None:
        return None
    name, password = credentials.username or "", credentials.password or ""
    try:
        return access.accounts.verify(access.engine, name, password)
    except TooManyLogins as error:
        abort(too_many_logins(error))
    except LoginError as error:
        access.fail(401, "UNAUTHORIZED", str(error))


def _grant(
    access: Access, connection: Connection, account: Account | None, scope: str
) -> dict[str, Any]:
    """Return the granted part of a scope. As in Quay, a scope to push creates the repository."""
    kind, _, rest = scope.partition(":")
    path, _, wanted = rest.rpartition(":")
    actions = wanted.split(",")
    if (
        kind != "repository"
        or not PATH.fullmatch(path)
        or not {"pull", "push", "*"}.issuperset(actions)
    ):
        access.fail(400, "INVALID_REQUEST", f"Unable to decode repository and actions: {scope}")
    namespace, name = repositories.split(path)
    if not repositories.NAME.fullmatch(name):
        access.fail(400, "NAME_INVALID", f"Invalid repository name: {path}")
    owner = access.accounts.find(connection, namespace)
    if owner is not None and not owner.is_enabled:
        reason = f"Namespace {namespace} has been disabled. Please contact a system administrator."
        access.fail(405, "DENIED", reason)
    found = repositories.find(connection, namespace, name)
    role = permissions.role_of(connection, access.accounts, account, namespace, found)
    if "push" in actions and found is None and role == "admin":
        public = access.settings.values.get("CREATE_PRIVATE_REPO_ON_PUSH") is False
        repositories.create(connection, namespace, name, "", is_public=public)
    allowed = permissions.ACTIONS[role] if role else ()
    granted = [action for action in allowed if action in actions]
    return {"type": "repository", "name": path, "actions": granted}
