"""Organisations and their robots."""

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import Connection

from standin import views
from standin.account import Account, AccountError
from standin.api.requests import Answer, Api, nothing, refuse

ROBOT = "/organization/<organization>/robots/<name>"
NO_ROBOT = "Could not find robot with specified username"


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""

    @blueprint.post("/organization/")
    def create_organization() -> Answer:
        """Create an organisation that the requesting account owns."""
        with api.engine.begin() as connection:
            owner = api.account(connection)
            asked = api.body("name")
            try:
                api.accounts.create_organization(
                    connection, str(asked["name"]), asked.get("email"), owner
                )
            except AccountError as error:
                api.invalid(str(error))
        return jsonify("Created"), 201

    @blueprint.get("/organization/<name>")
    def organization(name: str) -> Answer:
        """Return an organisation; its owners see more."""
        with api.engine.connect() as connection:
            account = api.account_if_any(connection)
            found = api.accounts.find(connection, name)
            if found is None or found.kind != "organization":
                api.not_found()
            is_owner = api.accounts.owns(connection, account, name)
        return views.organization(api.settings, found, is_owner=is_owner), 200

    @blueprint.delete("/organization/<name>")
    def delete_organization(name: str) -> Response:
        """Delete an organisation with all that is in it."""
        with api.engine.begin() as connection:
            api.owner(connection, name)
            found = api.accounts.find(connection, name)
            if found is None or found.kind != "organization":
                api.forbid()
            api.accounts.delete(connection, found)
        return nothing()

    _add_robots(blueprint, api)


def _add_robots(blueprint: Blueprint, api: Api) -> None:
    def robot(connection: Connection, organization: str, name: str) -> Account:
        """Return a robot, if an owner asks."""
        api.owner(connection, organization)
        found = api.accounts.find(connection, f"{organization}+{name}")
        if found is None:
            refuse(NO_ROBOT)
        return found

    @blueprint.get("/organization/<organization>/robots")
    def robots(organization: str) -> Answer:
        """List an organisation's robots."""
        with api.engine.connect() as connection:
            api.owner(connection, organization)
            found = api.accounts.robots.of(connection, organization)
        more = (
            dict.fromkeys(("teams", "repositories"), ()) if request.args.get("permissions") else {}
        )
        return {"robots": [{**views.robot(item), **more} for item in found]}, 200

    @blueprint.get(ROBOT)
    def one_robot(organization: str, name: str) -> Answer:
        """Return one robot with its token."""
        with api.engine.connect() as connection:
            found = robot(connection, organization, name)
            token = api.accounts.robots.token(connection, found.name)
        return {**views.robot(found), "token": token, "unstructured_metadata": {}}, 200

    @blueprint.put(ROBOT)
    def create_robot(organization: str, name: str) -> Answer:
        """Create a robot."""
        with api.engine.begin() as connection:
            api.owner(connection, organization)
            asked = request.get_json(silent=True) or {}
            full_name = f"{organization}+{name}"
            try:
                token = api.accounts.robots.create(
                    connection, full_name, str(asked.get("description", ""))
                )
            except AccountError as error:
                api.invalid(str(error))
            made = robot(connection, organization, name)
        return {**views.robot(made), "token": token, "unstructured_metadata": None}, 201

    @blueprint.post(f"{ROBOT}/regenerate")
    def renew_robot(organization: str, name: str) -> Answer:
        """Replace a robot's token."""
        with api.engine.begin() as connection:
            found = robot(connection, organization, name)
            token = api.accounts.robots.renew(connection, found.name)
        return {**views.robot(found), "token": token}, 200

    @blueprint.delete(ROBOT)
    def delete_robot(organization: str, name: str) -> Response:
        """Delete a robot."""
        with api.engine.begin() as connection:
            api.accounts.delete(connection, robot(connection, organization, name))
        return nothing()
