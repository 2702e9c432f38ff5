"""The part of Quay's API that the stand-in refuses."""

from typing import NoReturn

from flask import Blueprint

from standin.api.requests import Api
from standin.refusals import not_done

METHODS = ("GET", "POST", "PUT", "DELETE")
ORGANIZATION = "/organization/<organization>"
REPOSITORY = "/repository/<path:path>"
PATHS = {
    "/user/": ("POST", "DELETE"),
    ORGANIZATION: ("PUT",),
    f"{ORGANIZATION}/team/<path:rest>": METHODS,
    f"{ORGANIZATION}/applications": METHODS,
    f"{ORGANIZATION}/applications/<path:rest>": METHODS,
    f"{ORGANIZATION}/members": METHODS,
    f"{ORGANIZATION}/prototypes": METHODS,
    f"{ORGANIZATION}/logs": METHODS,
    f"{REPOSITORY}/permissions/user/": ("GET",),
    f"{REPOSITORY}/permissions/user/<name>/transitive": ("GET",),
    f"{REPOSITORY}/permissions/team/": ("GET",),
    f"{REPOSITORY}/permissions/team/<name>": METHODS,
    f"{REPOSITORY}/manifest/<path:rest>": METHODS,
    f"{REPOSITORY}/notification/": METHODS,
    f"{REPOSITORY}/logs": METHODS,
    "/superuser/logs": METHODS,
    "/superuser/organizations/": METHODS,
    "/superuser/config": METHODS,
    "/user/robots": METHODS,
    "/user/robots/<path:rest>": METHODS,
    "/user/logs": METHODS,
    "/find/<path:rest>": METHODS,
}


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""

    def refuse(**_: str) -> NoReturn:
        not_done("this part of the API")

    for path, methods in PATHS.items():
        blueprint.add_url_rule(path, endpoint=f"not done {path}", view_func=refuse, methods=methods)
