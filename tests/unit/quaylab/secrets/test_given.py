"""Secrets that the environment gives: which there are, and what each may be."""

from __future__ import annotations

import string

import pytest

from quaylab.secrets import given, making
from quaylab.secrets.given import SECRETS
from quaylab.secrets.passwords import SIGNS

# What containers of sclorg's don't let through.
ODD = "".join(sign for sign in string.punctuation if sign not in SIGNS)


@pytest.mark.parametrize("key", SECRETS)
def test_what_is_made_up_can_be_given(key: str) -> None:
    """As when the credentials of one registry are given to another."""
    assert given.problem(key, SECRETS[key].make(making.SYSTEM)) is None


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
def test_a_length_that_the_service_takes(key: str, longest: int) -> None:
    assert given.problem(key, "x" * longest) is None
    told = given.problem(key, "x" * (longest + 1))
    assert told and f" to {longest} characters" in told


def test_the_keys_of_others_stores_may_be_short() -> None:
    for key in ("storage_access_key", "storage_secret_key"):
        assert given.problem(key, "x") is None
        assert given.problem(key, "")
    assert given.problem("redis_password", "x" * 7)


@pytest.mark.parametrize("key", ["database_password", "redis_password"])
def test_containers_take_fewer_signs_than_services_elsewhere(key: str) -> None:
    assert given.problem(key, f"password{SIGNS}") is None
    for sign in ODD:
        told = given.problem(key, f"password{sign}")
        assert told and SIGNS in told
        assert given.problem(key, f"password{sign}", external=[key]) is None
        assert given.problem(key, f"password{sign}", external=["superuser_password"])


@pytest.mark.parametrize("key", ["superuser_password", "storage_secret_key", "database_secret_key"])
def test_others_take_any_of_asciis(key: str) -> None:
    assert given.problem(key, f"password{ODD}") is None


@pytest.mark.parametrize("value", ["white space", "pässwörter", "tab\tinside", "no\x00null1"])
@pytest.mark.parametrize("elsewhere", [(), ("redis_password",)], ids=["here", "elsewhere"])
def test_nobody_takes_everything(value: str, elsewhere: tuple[str, ...]) -> None:
    """Nor is the value told."""
    told = given.problem("redis_password", value, elsewhere)
    assert told and told.startswith("must be 8 to 256 characters: ")
    assert value == "white space" or value not in told


def test_what_is_not_given_has_no_variable() -> None:
    everything = {given.variable(key): "given-by-me" for key in SECRETS}
    found = given.variables_in(everything)
    assert found["redis_password"] == "QUAYLAB_REDIS_PASSWORD"
    # Made here for Ceph alone; and used in one run, which asks for it itself.
    assert SECRETS.keys() - found.keys() == {"swift_password", "database_admin_password"}
    assert given.variables_in({}) == {}


def test_a_variable_that_nobody_reads() -> None:
    assert list(given.misspelt_variables({"QUAYLAB_REDIS_PASSWORD": "x", "HOME": "/root"})) == []
    assert list(given.misspelt_variables({"QUAYLAB_DATABASE_ADMIN_PASSWORD": "x"})) == []
    (told,) = given.misspelt_variables({"QUAYLAB_RHSM_PASWORD": "hunter2"})
    assert told == "QUAYLAB_RHSM_PASWORD: no such variable; did you mean QUAYLAB_RHSM_PASSWORD?"
