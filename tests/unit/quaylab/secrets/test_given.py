"""Secrets from the environment: their variables and permitted values."""

from __future__ import annotations

import string

import pytest

from quaylab.secrets import given
from quaylab.secrets.given import SECRETS
from quaylab.secrets.passwords import SIGNS

# Characters that sclorg's images don't accept.
NOT_IN_IMAGES = "".join(sign for sign in string.punctuation if sign not in SIGNS)


@pytest.mark.parametrize("key", SECRETS)
def test_generated_secrets_are_accepted(key: str) -> None:
    """One registry's credentials may be given to another."""
    assert given.problem(key, SECRETS[key].make()) is None


@pytest.mark.parametrize(
    ("key", "longest"),
    [
        ("database_password", 256),
        ("redis_password", 256),
        ("superuser_password", 72),
        ("storage_secret_key", 256),
        ("secret_key", 256),
    ],
)
def test_lengths_that_the_service_accepts(key: str, longest: int) -> None:
    assert given.problem(key, "x" * longest) is None
    problem = given.problem(key, "x" * (longest + 1))
    assert problem and f" to {longest} characters" in problem


def test_keys_of_object_stores_may_be_short() -> None:
    for key in ("storage_access_key", "storage_secret_key"):
        assert given.problem(key, "x") is None
        assert given.problem(key, "")
    assert given.problem("redis_password", "x" * 7)


@pytest.mark.parametrize("key", ["database_password", "redis_password"])
def test_containers_accept_less_punctuation_than_services_elsewhere(key: str) -> None:
    assert given.problem(key, f"password{SIGNS}") is None
    for sign in NOT_IN_IMAGES:
        problem = given.problem(key, f"password{sign}")
        assert problem and SIGNS in problem
        assert given.problem(key, f"password{sign}", external=[key]) is None
        assert given.problem(key, f"password{sign}", external=["superuser_password"])


@pytest.mark.parametrize("key", ["superuser_password", "storage_secret_key", "database_secret_key"])
def test_other_secrets_may_have_all_ascii_punctuation(key: str) -> None:
    assert given.problem(key, f"password{NOT_IN_IMAGES}") is None


@pytest.mark.parametrize("value", ["white space", "pässwörter", "tab\tinside", "no\x00null1"])
@pytest.mark.parametrize("elsewhere", [(), ("redis_password",)], ids=["here", "elsewhere"])
def test_some_characters_are_never_accepted(value: str, elsewhere: tuple[str, ...]) -> None:
    """The message does not show the value."""
    problem = given.problem("redis_password", value, elsewhere)
    assert problem and problem.startswith("must have 8 to 256 characters, each ")
    assert value == "white space" or value not in problem


def test_secrets_that_are_never_given_have_no_variable() -> None:
    everything = {given.variable(key): "given-by-me" for key in SECRETS}
    found = given.variables_in(everything)
    assert found["redis_password"] == "QUAYLAB_REDIS_PASSWORD"
    # One is asked for by the run that needs it; the others are generated.
    assert SECRETS.keys() - found.keys() == {
        "database_admin_password",
        "patroni_password",
        "replication_password",
        "rewind_password",
        "swift_password",
    }
    assert given.variables_in({}) == {}


def test_a_misspelt_variable() -> None:
    assert list(given.misspelt_variables({"QUAYLAB_REDIS_PASSWORD": "x", "HOME": "/root"})) == []
    assert list(given.misspelt_variables({"QUAYLAB_DATABASE_ADMIN_PASSWORD": "x"})) == []
    (problem,) = given.misspelt_variables({"QUAYLAB_RHSM_PASWORD": "hunter2"})
    assert problem == "QUAYLAB_RHSM_PASWORD: no such variable; did you mean QUAYLAB_RHSM_PASSWORD?"
