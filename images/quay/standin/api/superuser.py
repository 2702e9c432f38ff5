"""A superuser's part of the API: users, and other accounts' organisations."""

import secrets

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from standin import views
from standin.account import Account, AccountError
from standin.api.requests import Answer, Api, nothing, refuse
from standin.refusals import not_done
from standin.tags import page


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""

    def user(connection: Connection, name: str) -> Account:
        """Return a user, if a superuser asks."""
        api.superuser(connection)
        found = api.accounts.find(connection, name)
        if found is None or found.kind != "user":
            api.not_found()
        return found

    @blueprint.get("/superuser/users/")
    def users() -> Answer:
        """List all users, or a page of them."""
        with api.engine.connect() as connection:
            api.superuser(connection)
            found = {account.name: account for account in api.accounts.users(connection)}
        limit = request.args.get("limit", len(found), type=int)
        names, more = page(list(found), request.args.get("next_page"), limit)
        answer: dict[str, object] = {
            "users": [views.user(api.settings, found[name]) for name in names]
        }
        if more:
            answer["next_page"] = names[-1]
        return answer, 200

    @blueprint.post("/superuser/users/")
    def create_user() -> Answer:
        """Create a user with a random password, which only this answer has."""
        with api.engine.begin() as connection:
            api.superuser(connection)
            asked = api.body("username")
            name, email = str(asked["username"]), asked.get("email")
            password = secrets.token_urlsafe(24)
            try:
                api.accounts.create_user(connection, name, password, email)
            except AccountError as error:
                refuse(str(error))
        return {
            "username": name,
            "email": email,
            "password": password,
            "encrypted_password": api.accounts.encrypt_password(password),
        }, 200

    @blueprint.get("/superuser/users/<name>")
    def one_user(name: str) -> Answer:
        """Return one user."""
        with api.engine.connect() as connection:
            return views.user(api.settings, user(connection, name)), 200

    @blueprint.put("/superuser/users/<name>")
    def change_user(name: str) -> Answer:
        """Disable or enable a user. As in Quay, the answer has the former state."""
        with api.engine.begin() as connection:
            found = user(connection, name)
            if name in api.settings.super_users:
                api.invalid("Cannot update a superuser")
            asked = api.body()
            if set(asked) != {"enabled"}:
                not_done("a change of a user other than `enabled`")
            api.accounts.enable(connection, found, enabled=asked["enabled"])
        return views.user(api.settings, found), 200

    @blueprint.delete("/superuser/users/<name>")
    def delete_user(name: str) -> Response:
        """Delete a user; as in Quay, a disabled one stays."""
        with api.engine.begin() as connection:
            found = user(connection, name)
            if name in api.settings.super_users:
                api.invalid("Cannot delete a superuser")
            if found.is_enabled:
                api.accounts.delete(connection, found)
        return nothing()

    @blueprint.delete("/superuser/organizations/<name>")
    def delete_organization(name: str) -> Response:
        """Delete an organisation, whoever owns it."""
        with api.engine.begin() as connection:
            api.superuser(connection)
            found = api.accounts.find(connection, name)
            if found is None or found.kind != "organization":
                refuse(f"Organization does not exist: {name}")
            api.accounts.delete(connection, found)
        return nothing()

    @blueprint.get("/superuser/registrystatus")
    def registry_status() -> Answer:
        """Answer whether the registry is set up."""
        with api.engine.connect() as connection:
            api.superuser(connection)
        return {"provider_id": "file", "status": "ready"}, 200
