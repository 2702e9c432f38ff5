"""Authorisation under /v2: the tokens, and their verification."""

import json
import time
from typing import Any, NoReturn

import jwt
from flask import abort, make_response, request
from sqlalchemy import Connection, Engine

from standin import repositories
from standin.account import Account
from standin.accounts import Accounts
from standin.cache import Cache
from standin.config import Settings
from standin.repositories import Repository

TOKEN_SECONDS = 3600
ANONYMOUS = "(anonymous)"
ALGORITHM = "HS256"
READ = ("pull",)
WRITE = ("pull", "push")


class Access:
    """The registry's tokens and error answers."""

    def __init__(self, settings: Settings, engine: Engine, accounts: Accounts) -> None:
        self.settings = settings
        self.engine = engine
        self.accounts = accounts
        self.cache = Cache(settings)
        self._key = settings.derived_key("registry tokens")

    def challenge(self, scope: str = "") -> dict[str, str]:
        """Return the headers that send a client to the token service."""
        value = f'Bearer realm="{self.settings.url}/v2/auth",service="{self.settings.hostname}"'
        if scope:
            value += f',scope="{scope}"'
        return {"WWW-Authenticate": value, "Docker-Distribution-API-Version": "registry/2.0"}

    def fail(
        self, status: int, code: str, message: str, detail: Any = None, *, scope: str = ""
    ) -> NoReturn:
        """End the request with an error in the protocol's form."""
        error = {"code": code, "detail": {} if detail is None else detail, "message": message}
        headers = self.challenge(scope) if status == 401 else {}
        abort(make_response({"errors": [error]}, status, headers))

    def unauthorized(self, scope: str = "") -> NoReturn:
        """End a request without a sufficient token."""
        message = "access to the requested resource is not authorized"
        self.fail(401, "UNAUTHORIZED", message, scope=scope)

    def issue(self, account: Account | None, grants: list[dict[str, Any]]) -> str:
        """Return a token that every node accepts for the next hour."""
        now = int(time.time())
        claims = {
            "iss": "quay",
            "aud": request.args.get("service", self.settings.hostname),
            "sub": account.name if account else ANONYMOUS,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "access": grants,
        }
        return jwt.encode(claims, self._key, ALGORITHM)

    def claims(self) -> dict[str, Any] | None:
        """Return the claims of the request's token; None without a token."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if not kind:
            return None
        if kind.lower() != "bearer" or token.count(".") != 2:
            self._refuse_token("Invalid bearer token format")
        try:
            claims: dict[str, Any] = jwt.decode(
                # The clocks of several nodes differ a little.
                token,
                self._key,
                [ALGORITHM],
                audience=self.settings.hostname,
                leeway=30,
            )
        except jwt.InvalidTokenError as error:
            self._refuse_token(str(error))
        return claims

    def _refuse_token(self, reason: str) -> NoReturn:
        abort(make_response(json.dumps({"error": reason}), 401, self.challenge()))

    def account(self, connection: Connection) -> Account | None:
        """Return the account of the request's token."""
        claims = self.claims()
        return self.accounts.find(connection, claims["sub"]) if claims else None

    def allows(self, path: str, actions: tuple[str, ...]) -> bool:
        """Return whether the request's token allows these actions on a repository."""
        wanted = repositories.split(path)
        claims = self.claims() or {"access": []}
        granted = {
            action
            for grant in claims["access"]
            if repositories.split(grant["name"]) == wanted
            for action in grant["actions"]
        }
        return granted.issuperset(actions)

    def repository(
        self, connection: Connection, path: str, actions: tuple[str, ...], *keys: str
    ) -> Repository:
        """Return the repository, if it exists and the request's token allows these actions on it.

        With keys it is the one that was there when a request with the same was made not long ago.
        """
        namespace, name = repositories.split(path)
        allowed = self.allows(path, actions)
        found: Repository | None = repositories.find(connection, namespace, name)
        public_read = actions == READ and found is not None and found.is_public
        if not (allowed or public_read):
            self.unauthorized(f"repository:{namespace}/{name}:{','.join(actions)}")
        if keys:
            found = self.cache.get(("repository", path, *keys), lambda: found)
        if found is None:
            self.fail(404, "NAME_UNKNOWN", "repository not found")
        return found
