"""The roles of users and robots in a repository."""

from flask import Blueprint, Response

from standin import permissions, views
from standin.api.requests import Answer, Api, nothing, refuse

USER = "/repository/<path:path>/permissions/user/<name>"
NONE = "User does not have permission for repo."


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""

    @blueprint.put(USER)
    def grant(path: str, name: str) -> Answer:
        """Give an account a role."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "admin")
            role = str(api.body("role")["role"])
            account = api.accounts.find(connection, name)
            if account is None or account.kind == "organization":
                api.invalid(f"Invalid username: {name}")
            if role not in permissions.ROLES:
                api.invalid(f"{role!r} is not one of {list(permissions.ROLES)}")
            permissions.grant(connection, found, name, role)
            is_member = name.startswith(f"{found.namespace}+") or api.accounts.owns(
                connection, account, found.namespace
            )
        return views.permission(account, role, is_org_member=is_member), 200

    @blueprint.get(USER)
    def granted(path: str, name: str) -> Answer:
        """Return an account's role."""
        with api.engine.connect() as connection:
            found = api.repository(connection, path, "admin")
            role = permissions.granted(connection, found, name)
            account = api.accounts.find(connection, name)
            if role is None or account is None:
                refuse(NONE)
        return views.permission(account, role, is_org_member=False), 200

    @blueprint.delete(USER)
    def revoke(path: str, name: str) -> Response:
        """Remove an account's role."""
        with api.engine.begin() as connection:
            found = api.repository(connection, path, "admin")
            if not permissions.revoke(connection, found, name):
                api.invalid(NONE)
        return nothing()
