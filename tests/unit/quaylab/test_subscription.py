"""RHEL's subscription: what follows from what the client says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quaylab.problems import Refusal
from quaylab.subscription import (
    Answer,
    Registration,
    host_problems,
    register,
    registration,
    secret,
    settings_problems,
)
from tests.unit.samples import certified, settings

UUID = "eeb161eb-1acb-434f-aa56-57a902325e93"
VERSION = Answer(("server type: ", "subscription-manager: 1.29.40-1.el9_4"), 0)
IDENTITY = Answer((f"system identity: {UUID}", "name: quay01", "org ID: acme"), 0)
UNLOCKED = Answer(("Release not set",), 0)
NOT_YET = Answer(("This system is not yet registered. Try 'subscription-manager register'",), 1)
DELETED = Answer((f'Consumer profile "{UUID}" has been deleted from the server.',), 69)
DELETED_1_24 = Answer((f"Unit {UUID} has been deleted",), 70)
DOWN = Answer(("Unable to reach the server at satellite:443/rhsm: Connection refused",), 70)
NO_RELEASES = Answer(("Error: The 'release' command is not supported by the server.",), 69)
REGISTERED = Registration(True, (1, 29), UUID, "acme")


@pytest.mark.parametrize(
    ("identity", "release", "found"),
    [
        (IDENTITY, UNLOCKED, REGISTERED),
        (IDENTITY, Answer(("Release: 9.4",), 0), Registration(True, (1, 29), UUID, "acme", "9.4")),
        (IDENTITY, NO_RELEASES, REGISTERED),
        (NOT_YET, NOT_YET, Registration(True, (1, 29))),
        (DELETED, DELETED, Registration(True, (1, 29), deleted=True)),
        (DELETED_1_24, DELETED, Registration(True, (1, 29), deleted=True)),
        (IDENTITY, DELETED, Registration(True, (1, 29), deleted=True)),
    ],
    ids=["yes", "locked", "no releases", "no", "deleted", "deleted, 1.24", "deleted, cached"],
)
def test_registration(identity: Answer, release: Answer, found: Registration) -> None:
    assert registration(VERSION, identity, release) == found


@pytest.mark.parametrize(
    ("identity", "release", "trouble"),
    [
        (DOWN, DOWN, DOWN.lines[0]),
        (IDENTITY, DOWN, DOWN.lines[0]),
        (Answer((), 78), Answer((), 78), "exit code 78"),
    ],
    ids=["down", "down, identity cached", "silent"],
)
def test_trouble(identity: Answer, release: Answer, trouble: str) -> None:
    found = registration(VERSION, identity, release)
    assert found.trouble == trouble
    (problem,) = host_problems("rhel1", found, settings(rhsm_organization="acme"))
    assert trouble in problem


@pytest.mark.parametrize(
    ("told", "version", "pools"),
    [
        ("1.24.54-1.el7_9", (1, 24), True),
        ("1.28.42-1.el8", (1, 28), True),
        ("1.29.40-1.el9", (1, 29), True),
        ("1.30.6.1-1.el10_0", (1, 30), False),
        ("Unknown", None, False),
    ],
)
def test_pools_by_version(told: str, version: tuple[int, int] | None, pools: bool) -> None:
    found = registration(Answer((f"subscription-manager: {told}",), 0), NOT_YET, NOT_YET)
    assert found.version == version
    assert found.has_pools is pools


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rhsm_pool": "8a85"}, "rhsm_pool: rhel1 has subscription-manager 1.30, which can't"),
        ({"rhsm_pool_matches": "*x*"}, "rhsm_pool_matches: rhel1 has subscription-manager 1.30"),
        ({"rhsm_organization": "other"}, "rhsm_organization: rhel1 is registered with acme, not"),
    ],
)
def test_what_a_host_can_not_do(given: dict[str, Any], told: str) -> None:
    found = Registration(True, (1, 30), UUID, "acme")
    (problem,) = host_problems("rhel1", found, settings(**{"rhsm_organization": "acme", **given}))
    assert problem.startswith(told)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rhsm_pool": "8a85"}, "rhsm_pool: set without rhsm_organization and rhsm_user"),
        ({"rhsm_repositories": []}, "rhsm_repositories: set without rhsm_organization"),
        ({"rhsm_unregister": True}, "rhsm_unregister: set without rhsm_organization"),
        (
            {"rhsm_user": "me", "rhsm_pool": "8a85", "rhsm_pool_matches": "*"},
            "rhsm_pool_matches: set together with rhsm_pool",
        ),
        (
            {"rhsm_user": "me", "rhsm_content": "https://satellite/content"},
            "rhsm_content: set without rhsm_server",
        ),
        (
            {"rhsm_user": "me", "rhsm_server": "https://satellite/rhsm", "rhsm_ca": Path(__file__)},
            f"rhsm_ca: {__file__} is no PEM certificate",
        ),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], told: str) -> None:
    (problem,) = settings_problems(settings(**given))
    assert problem.startswith(told)


def test_settings_that_go_together(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(certified().ca_certificate or "")
    satellite = {"rhsm_server": "https://satellite/rhsm", "rhsm_ca": ca}
    good = settings(rhsm_organization="acme", rhsm_unregister=True, **satellite)
    assert list(settings_problems(good)) == []
    assert list(settings_problems(settings())) == []


BY_KEY = settings(rhsm_organization="acme")
BY_PASSWORD = settings(rhsm_user="me@example.com")


def test_a_secret_comes_from_the_environment_or_a_terminal() -> None:
    environment = {"QUAYLAB_RHSM_PASSWORD": "pass", "QUAYLAB_RHSM_ACTIVATION_KEY": "key"}
    assert secret(BY_KEY, environment, None) == "key"
    assert secret(BY_PASSWORD, environment, None) == "pass"
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "typed"

    assert secret(BY_PASSWORD, {}, ask) == "typed"
    assert asked == ["password of me@example.com for subscription-manager: "]
    assert secret(BY_KEY, environment, ask) == "key"
    assert len(asked) == 1


@pytest.mark.parametrize("value", [None, "", "two\nlines", "line\n"])
def test_no_secret(value: str | None) -> None:
    environment = {} if value is None else {"QUAYLAB_RHSM_PASSWORD": value}
    with pytest.raises(Refusal) as refused:
        secret(BY_PASSWORD, environment, None)
    (problem,) = refused.value.problems
    assert problem.startswith("QUAYLAB_RHSM_PASSWORD: ")
    assert "password of me@example.com" in problem
    assert value in (None, "") or value not in problem


def test_the_words_of_the_call() -> None:
    assert register(BY_KEY) == ("register", "--org=acme", "--activationkey=")
    assert register(BY_PASSWORD) == ("register", "--username=me@example.com", "--password=")
    satellite = settings(
        rhsm_organization="acme",
        rhsm_user="me",
        rhsm_server="https://satellite/rhsm",
        rhsm_content="https://satellite/content",
    )
    assert register(satellite) == (
        "register",
        "--org=acme",
        "--serverurl=https://satellite/rhsm",
        "--baseurl=https://satellite/content",
        "--username=me",
        "--password=",
    )


def test_red_hats_organizations_are_numbers() -> None:
    """As `--data rhsm_organization=1234567` gives one."""
    assert settings(rhsm_organization=1234567).rhsm_organization == "1234567"
