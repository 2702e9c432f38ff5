"""Repositories."""

import uuid

from flask import Blueprint, Response, request

from standin import permissions, repositories, tags, views
from standin.api.requests import Answer, Api, nothing


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""

    @blueprint.post("/repository")
    def create_repository() -> Answer:
        """Create an empty repository."""
        with api.engine.begin() as connection:
            account = api.account(connection)
            asked = api.body("repository", "visibility", "description")
            name, namespace = str(asked["repository"]), str(asked.get("namespace") or account.name)
            api.owner(connection, namespace)
            if repositories.find(connection, namespace, name):
                api.invalid("Repository already exists")
            if not repositories.NAME.fullmatch(name):
                api.invalid("Invalid repository name")
            public = asked["visibility"] == "public"
            description = str(asked["description"])
            repositories.create(connection, namespace, name, description, is_public=public)
        return {"namespace": namespace, "name": name, "kind": "image"}, 201

    @blueprint.get("/repository")
    def list_repositories() -> Answer:
        """List the repositories of a namespace that the requesting account may see."""
        namespace = request.args.get("namespace", "")
        if not namespace and request.args.get("public") != "true":
            api.invalid("namespace, starred or public are required for this API call")
        with api.engine.connect() as connection:
            account = api.account_if_any(connection)
            shown = [
                views.listed_repository(found, starred=account is not None)
                for found in repositories.in_namespace(connection, namespace)
                if permissions.role_of(connection, api.accounts, account, found.namespace, found)
            ]
            if request.args.get("last_modified") == "true":
                for entry in shown:
                    path = entry["namespace"], entry["name"]
                    found = repositories.find(connection, *path)
                    newest = tags.history(connection, found) if found else []
                    entry["last_modified"] = newest[0].started if newest else None
        return {"repositories": shown}, 200

    @blueprint.get("/repository/<path:path>")
    def repository(path: str) -> Answer:
        """Return one repository and its tags."""
        with api.engine.connect() as connection:
            found = api.repository(connection, path, "read")
            namespace = api.accounts.find(connection, found.namespace)
            account = api.account_if_any(connection)
            role = permissions.role_of(connection, api.accounts, account, found.namespace, found)
            active = tags.active(connection, found)
        is_organization = namespace is not None and namespace.kind == "organization"
        return {
            **views.repository(api.settings, found, active, is_organization=is_organization),
            "status_token": str(uuid.uuid4()),
            "can_write": permissions.covers(role, "write"),
            "can_admin": permissions.covers(role, "admin"),
        }, 200

    @blueprint.put("/repository/<path:path>")
    def change_repository(path: str) -> Answer:
        """Change the description."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "write")
            asked = api.body("description")
            repositories.change(connection, found, description=str(asked["description"]))
        return {"success": True}, 200

    @blueprint.post("/repository/<path:path>/changevisibility")
    def change_visibility(path: str) -> Answer:
        """Make a repository public or private."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "admin")
            is_public = api.body("visibility")["visibility"] == "public"
            repositories.change(connection, found, is_public=is_public)
        return {"success": True}, 200

    @blueprint.delete("/repository/<path:path>")
    def delete_repository(path: str) -> Response:
        """Delete a repository with its content; for its owner a missing one counts as deleted."""
        namespace, name = repositories.split(path)
        with api.engine.begin() as connection:
            found = repositories.find(connection, namespace, name)
            if found is None:
                api.owner(connection, namespace)
            else:
                repositories.delete(connection, api.repository(connection, path, "admin"))
        return nothing()
