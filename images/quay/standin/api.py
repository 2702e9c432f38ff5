"""The part of Quay's API under /api/v1 that an operator's tools use."""

import secrets
import uuid
from email.utils import formatdate
from typing import Any, NoReturn

from flask import Blueprint, Response, abort, jsonify, make_response, request
from sqlalchemy import Connection, Engine

from standin import accounts as accounts_module
from standin import repositories, sessions, views
from standin.accounts import Account, AccountError, Accounts
from standin.config import Settings

Answer = Response | tuple[Any, int]


class Api:
    """What the requests share: settings, database, accounts."""

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

    def account_if_any(self, connection: Connection) -> Account | None:
        """Who asks: by bearer token, or by session. Never by basic authentication."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            account = self.accounts.by_access_token(connection, token)
        else:
            name = sessions.signed_in()
            account = self.accounts.find(connection, name) if name else None
            if account and request.method != "GET" and not sessions.csrf_token_is_valid():
                refuse_csrf()
        return account

    def account(self, connection: Connection) -> Account:
        """Who asks; nobody is refused."""
        account = self.account_if_any(connection)
        if account is None:
            self.fail(401, "invalid_token", "Requires authentication", session_required=False)
        return account

    def superuser(self, connection: Connection) -> Account:
        """Who asks, if it is a superuser."""
        account = self.account(connection)
        if account.name not in self.settings.super_users:
            self.fail(403, "insufficient_scope", "Unauthorized")
        return account

    def owner(self, connection: Connection, namespace: str) -> Account:
        """Who asks, if the namespace is theirs."""
        account = self.account(connection)
        if not self.accounts.owns(connection, account, namespace):
            self.fail(403, "insufficient_scope", "Unauthorized")
        return account

    def owned_repository(self, connection: Connection, path: str) -> repositories.Repository:
        """The repository, if it is there and belongs to who asks."""
        namespace, name = repositories.split(path)
        self.owner(connection, namespace)
        repository = repositories.find(connection, namespace, name)
        if repository is None:
            self.fail(404, "not_found", "Not Found")
        return repository


def refuse_csrf() -> NoReturn:
    """End a request whose CSRF token is not its session's."""
    abort(make_response("CSRF token was invalid or missing.", 403))


def make_blueprint(settings: Settings, engine: Engine, accounts: Accounts) -> Blueprint:
    """All routes under /api/v1."""
    blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
    api = Api(settings, engine, accounts)
    _add_users(blueprint, api)
    _add_superuser(blueprint, api)
    _add_organizations(blueprint, api)
    _add_repositories(blueprint, api)
    return blueprint


def _add_users(blueprint: Blueprint, api: Api) -> None:
    may_initialize = (
        api.settings.values.get("FEATURE_USER_INITIALIZE") is True
        and api.settings.values["AUTHENTICATION_TYPE"] == "Database"
    )

    @blueprint.post("/user/initialize")
    def initialize() -> Answer:
        """Make the first user, while there is none."""
        if not may_initialize:
            return {"message": "Cannot initialize user, feature is not enabled"}, 400
        asked = request.get_json()
        with api.engine.begin() as connection:
            if api.accounts.any(connection):
                return {"message": "Cannot initialize user in a non-empty database"}, 400
            name, password = str(asked.get("username", "")), str(asked.get("password", ""))
            email = asked.get("email")
            try:
                account = api.accounts.create_user(connection, name, password, email)
            except AccountError as error:
                return {"message": f"Failed to initialize user: {error}"}, 400
            answer = {
                "username": name,
                "email": email,
                "encrypted_password": api.accounts.encrypt_password(password),
            }
            if asked.get("access_token"):
                answer["access_token"] = api.accounts.create_access_token(connection, account)
            return answer, 200

    @blueprint.post("/signin")
    def sign_in() -> Answer:
        """Begin a session."""
        if not sessions.csrf_token_is_valid():
            refuse_csrf()
        asked = request.get_json()
        with api.engine.connect() as connection:
            account = api.accounts.verify(
                connection, str(asked.get("username", "")), str(asked.get("password", ""))
            )
        if account is None or account.kind != "user":
            sessions.send_cookie()
            return {
                "needsEmailVerification": False,
                "invalidCredentials": True,
                "message": accounts_module.LOGIN_MESSAGE,
            }, 403
        answer = jsonify(success=True)
        answer.headers[sessions.NEXT_CSRF_HEADER] = sessions.sign_in(account.name)
        return answer

    @blueprint.get("/user/")
    def current_user() -> Answer:
        """Who asks."""
        with api.engine.connect() as connection:
            account = api.account(connection)
            organizations = api.accounts.organizations(connection, account)
        return views.current_user(api.settings, account, organizations), 200

    @blueprint.put("/user/")
    def change_user() -> Answer:
        """Change the password of who asks."""
        with api.engine.begin() as connection:
            account = api.account(connection)
            try:
                password = str(request.get_json().get("password", ""))
                api.accounts.change_password(connection, account, password)
            except AccountError as error:
                api.fail(400, "invalid_request", str(error))
            organizations = api.accounts.organizations(connection, account)
        return views.current_user(api.settings, account, organizations), 200


def _add_superuser(blueprint: Blueprint, api: Api) -> None:
    @blueprint.get("/superuser/users/")
    def users() -> Answer:
        """All users."""
        with api.engine.connect() as connection:
            api.superuser(connection)
            found = api.accounts.users(connection)
        return {"users": [views.user(api.settings, account) for account in found]}, 200

    @blueprint.post("/superuser/users/")
    def create_user() -> Answer:
        """Make a user with a password that only this answer tells."""
        asked = request.get_json()
        name, email = str(asked.get("username", "")), asked.get("email")
        password = secrets.token_urlsafe(24)
        with api.engine.begin() as connection:
            api.superuser(connection)
            try:
                api.accounts.create_user(connection, name, password, email)
            except AccountError as error:
                api.fail(400, "invalid_request", str(error))
        return {
            "username": name,
            "email": email,
            "password": password,
            "encrypted_password": api.accounts.encrypt_password(password),
        }, 200

    @blueprint.get("/superuser/registrystatus")
    def registry_status() -> Answer:
        """Whether the registry is set up."""
        with api.engine.connect() as connection:
            api.superuser(connection)
        return {"provider_id": "file", "status": "ready"}, 200


def _add_organizations(blueprint: Blueprint, api: Api) -> None:
    @blueprint.post("/organization/")
    def create_organization() -> Answer:
        """Make an organisation whose owner is who asks."""
        asked = request.get_json()
        with api.engine.begin() as connection:
            owner = api.account(connection)
            try:
                api.accounts.create_organization(
                    connection, str(asked.get("name", "")), asked.get("email"), owner
                )
            except AccountError as error:
                api.fail(400, "invalid_request", str(error))
        return jsonify("Created"), 201

    @blueprint.put("/organization/<organization>/robots/<name>")
    def create_robot(organization: str, name: str) -> Answer:
        """Make a robot account of an organisation."""
        robot = f"{organization}+{name}"
        with api.engine.begin() as connection:
            api.owner(connection, organization)
            try:
                token = api.accounts.create_robot(connection, robot)
            except AccountError as error:
                api.fail(400, "invalid_request", str(error))
        asked = request.get_json(silent=True) or {}
        return {
            "name": robot,
            "created": formatdate(),
            "last_accessed": None,
            "description": asked.get("description", ""),
            "token": token,
            "unstructured_metadata": None,
        }, 201


def _add_repositories(blueprint: Blueprint, api: Api) -> None:
    @blueprint.post("/repository")
    def create_repository() -> Answer:
        """Make an empty repository."""
        asked = request.get_json()
        name = str(asked.get("repository", ""))
        if not repositories.NAME.fullmatch(name):
            api.fail(400, "invalid_request", "Invalid repository name")
        with api.engine.begin() as connection:
            account = api.account(connection)
            namespace = str(asked.get("namespace") or account.name)
            api.owner(connection, namespace)
            if not repositories.create(
                connection,
                namespace,
                name,
                str(asked.get("description", "")),
                is_public=asked.get("visibility") == "public",
            ):
                api.fail(400, "invalid_request", "Repository already exists")
        return {"namespace": namespace, "name": name, "kind": "image"}, 201

    @blueprint.get("/repository")
    def list_repositories() -> Answer:
        """The repositories of a name space that who asks may see."""
        namespace = request.args.get("namespace", "")
        if not namespace and request.args.get("public") != "true":
            message = "namespace, starred or public are required for this API call"
            api.fail(400, "invalid_request", message)
        with api.engine.connect() as connection:
            account = api.account_if_any(connection)
            owned = api.accounts.owns(connection, account, namespace)
            found = repositories.in_namespace(connection, namespace, only_public=not owned)
        return {"repositories": [views.listed_repository(item) for item in found]}, 200

    @blueprint.get("/repository/<path:path>")
    def repository(path: str) -> Answer:
        """One repository and its tags."""
        with api.engine.connect() as connection:
            found = api.owned_repository(connection, path)
            namespace = api.accounts.find(connection, found.namespace)
            tags = repositories.tags(connection, found)
        is_organization = namespace is not None and namespace.kind == "organization"
        return views.repository(
            api.settings, found, tags, is_organization=is_organization, status_token=uuid.uuid4()
        ), 200

    @blueprint.delete("/repository/<path:path>")
    def delete_repository(path: str) -> Response:
        """Delete a repository with all that is in it."""
        with api.engine.begin() as connection:
            repositories.delete(connection, api.owned_repository(connection, path))
        return Response(status=204, content_type="application/json")

    @blueprint.get("/repository/<path:path>/tag/")
    def tags(path: str) -> Answer:
        """The tags of a repository."""
        with api.engine.connect() as connection:
            found = repositories.tags(connection, api.owned_repository(connection, path))
        wanted = request.args.get("specificTag")
        shown = [views.tag(tag) for tag in found if wanted in (None, tag.name)]
        return {"tags": shown, "page": 1, "has_additional": False}, 200

    @blueprint.delete("/repository/<path:path>/tag/<name>")
    def delete_tag(path: str, name: str) -> Response:
        """Delete a tag."""
        with api.engine.begin() as connection:
            found = api.owned_repository(connection, path)
            if not repositories.delete_manifest(connection, found, name):
                api.fail(404, "not_found", "Not Found")
        return Response(status=204, content_type="application/json")
