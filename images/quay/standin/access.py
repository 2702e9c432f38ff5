"""Who may do what under /v2: the token service, and the check of its tokens."""

import time
from typing import Any, NoReturn

import jwt
from flask import Blueprint, Response, abort, jsonify, make_response, request
from sqlalchemy import Connection, Engine

from standin import repositories
from standin.accounts import LOGIN_MESSAGE, Account, Accounts
from standin.config import Settings
from standin.events import UserEvents
from standin.repositories import Repository

TOKEN_SECONDS = 3600
ANONYMOUS = "(anonymous)"
ALGORITHM = "HS256"
READ = ("pull",)
WRITE = ("pull", "push")


class Access:
    """The registry's tokens, and its refusals."""

    def __init__(self, settings: Settings, engine: Engine, accounts: Accounts) -> None:
        self.settings = settings
        self.engine = engine
        self.accounts = accounts
        self._key = settings.derived_key("registry tokens")

    def challenge(self, scope: str = "") -> dict[str, str]:
        """The headers that send a client to the token service."""
        value = f'Bearer realm="{self.settings.url}/v2/auth",service="{self.settings.hostname}"'
        if scope:
            value += f',scope="{scope}"'
        return {"WWW-Authenticate": value, "Docker-Distribution-API-Version": "registry/2.0"}

    def fail(
        self, status: int, code: str, message: str, detail: Any = None, *, scope: str = ""
    ) -> NoReturn:
        """End the request with the protocol's form of an error."""
        error = {"code": code, "detail": detail or {}, "message": message}
        headers = self.challenge(scope) if status == 401 else {}
        abort(make_response({"errors": [error]}, status, headers))

    def unauthorized(self, scope: str = "") -> NoReturn:
        """End a request that needs another token, or one at all."""
        message = "access to the requested resource is not authorized"
        self.fail(401, "UNAUTHORIZED", message, scope=scope)

    def issue(self, account: Account | None, grants: list[dict[str, Any]]) -> str:
        """A token that any node takes for the next hour."""
        now = int(time.time())
        claims = {
            "iss": "quay",
            "aud": self.settings.hostname,
            "sub": account.name if account else ANONYMOUS,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "access": grants,
        }
        return jwt.encode(claims, self._key, ALGORITHM)

    def claims(self) -> dict[str, Any] | None:
        """What the request's token says; none without a token."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not kind:
            return None
        try:
            claims: dict[str, Any] = jwt.decode(
                # Clocks of several nodes are never quite equal.
                token,
                self._key,
                [ALGORITHM],
                audience=self.settings.hostname,
                leeway=30,
            )
        except jwt.InvalidTokenError as error:
            abort(make_response({"error": str(error)}, 401, self.challenge()))
        return claims

    def account(self, connection: Connection) -> Account | None:
        """Whose token the request carries."""
        claims = self.claims()
        return self.accounts.find(connection, claims["sub"]) if claims else None

    def repository(self, connection: Connection, path: str, actions: tuple[str, ...]) -> Repository:
        """The repository, if it is there and the request's token allows these actions on it."""
        namespace, name = repositories.split(path)
        claims = self.claims() or {"access": []}
        granted = {
            action
            for grant in claims["access"]
            if repositories.split(grant["name"]) == (namespace, name)
            for action in grant["actions"]
        }
        found = repositories.find(connection, namespace, name)
        public_read = actions == READ and found is not None and found.is_public
        if not (granted.issuperset(actions) or public_read):
            self.unauthorized(f"repository:{namespace}/{name}:{','.join(actions)}")
        if found is None:
            self.fail(404, "NAME_UNKNOWN", "repository not found")
        return found


def add_token_service(blueprint: Blueprint, access: Access, user_events: UserEvents) -> None:
    """The routes that every docker login, push and pull begins with."""

    @blueprint.get("/")
    def support() -> Response:
        """Whether the client has a token; where to get one if not."""
        status = 401 if access.claims() is None else 200
        return make_response("true", status, access.challenge())

    @blueprint.get("/auth")
    def token() -> Response:
        """A token for as much of the wanted scopes as the account may have."""
        credentials = request.authorization
        scopes = [scope for scope in request.args.getlist("scope") if scope]
        with access.engine.begin() as connection:
            account = None
            if credentials is not None:
                account = access.accounts.verify(
                    connection, credentials.username or "", credentials.password or ""
                )
                if account is None:
                    access.fail(401, "UNAUTHORIZED", LOGIN_MESSAGE)
            elif not scopes:
                access.unauthorized()
            grants = [_grant(access, connection, account, scope) for scope in scopes]
        if account:
            user_events.publish(account.name, "docker-cli", action="login")
        return jsonify(token=access.issue(account, grants))


def _grant(
    access: Access, connection: Connection, account: Account | None, scope: str
) -> dict[str, Any]:
    """What of a scope the account gets. A scope to push makes the repository, as in Quay."""
    kind, _, rest = scope.partition(":")
    path, _, wanted = rest.rpartition(":")
    actions = wanted.split(",")
    if kind != "repository" or not path or not {"pull", "push", "*"}.issuperset(actions):
        access.fail(400, "INVALID_REQUEST", f"Unable to decode repository and actions: {scope}")
    namespace, name = repositories.split(path)
    if not repositories.NAME.fullmatch(name):
        access.fail(400, "NAME_INVALID", f"Invalid repository name: {path}")
    owned = access.accounts.owns(connection, account, namespace)
    found = repositories.find(connection, namespace, name)
    granted = []
    if "push" in actions and owned:
        if found is None:
            public = access.settings.values.get("CREATE_PRIVATE_REPO_ON_PUSH") is False
            repositories.create(connection, namespace, name, "", is_public=public)
        granted.append("push")
    if "pull" in actions and (owned or (found is not None and found.is_public)):
        granted.append("pull")
    if "*" in actions and owned:
        granted.append("*")
    return {"type": "repository", "name": path, "actions": granted}
