"""The part of Quay's API that the stand-in leaves out: it says so for every call of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from flask import Flask

from quaylab.services import quay_config
from tests.unit.samples import CREDENTIALS, ROOT, one_host, settings

sys.path.append(str(ROOT / "images" / "quay"))

from standin import api, database
from standin.accounts import Accounts
from standin.api.not_done import PATHS
from standin.config import Settings

ALL = ("GET", "POST", "PUT", "DELETE")
CALLS = {
    "user/": ("POST", "DELETE"),
    "organization/acme": ("PUT",),
    "organization/acme/team/owners": ALL,
    "organization/acme/team/owners/members/alice": ALL,
    "organization/acme/applications": ALL,
    "organization/acme/applications/1234": ALL,
    "organization/acme/members": ALL,
    "organization/acme/prototypes": ALL,
    "organization/acme/logs": ALL,
    "repository/acme/app/permissions/user/": ("GET",),
    "repository/acme/app/permissions/user/alice/transitive": ("GET",),
    "repository/acme/app/permissions/team/": ("GET",),
    "repository/acme/app/permissions/team/owners": ALL,
    "repository/acme/app/manifest/sha256:1234": ALL,
    "repository/acme/app/manifest/sha256:1234/labels": ALL,
    "repository/acme/app/notification/": ALL,
    "repository/acme/app/logs": ALL,
    "superuser/logs": ALL,
    "superuser/organizations/": ALL,
    "superuser/config": ALL,
    "user/robots": ALL,
    "user/robots/deployer": ALL,
    "user/logs": ALL,
    "find/repositories": ALL,
}


@pytest.fixture(scope="module")
def app() -> Flask:
    """The API, with a database that isn't there."""
    values = quay_config.build(settings(database_engine="mysql"), one_host(), CREDENTIALS)
    configured = Settings(Path("/nonexistent"), values)
    made = Flask("standin", static_folder=None)
    api.add_api(made, configured, database.make_engine(configured), Accounts(configured))
    return made


@pytest.mark.parametrize("path", CALLS)
def test_a_call_that_is_left_out_is_answered_with_501(
    app: Flask, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("QUAY_VERSION", "v3.18.0")
    for method in CALLS[path]:
        answer = app.test_client().open(f"/api/v1/{path}", method=method)
        assert answer.status_code == 501, method
        assert "not done by the stand-in for Quay v3.18.0" in answer.get_json()["message"]


def test_every_path_that_is_left_out_is_called(app: Flask) -> None:
    router = app.url_map.bind("localhost")
    called = {
        router.match(f"/api/v1/{path}", method=method, return_rule=True)[0].rule
        for path, methods in CALLS.items()
        for method in methods
    }
    assert called == {f"/api/v1{path}" for path in PATHS}
