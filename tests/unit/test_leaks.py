"""The search for leaked secrets finds them in each form in which programs show them."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode, encodebytes

import pytest
from pydantic import SecretStr

from tests.leaks import leaked, secrets_of
from tests.unit.samples import certified

PASSWORD = 'it\'s "a" \\ secret'
CREDENTIALS = certified().model_copy(
    update={
        "redis_password": SecretStr(PASSWORD),
        "superuser_passwords_retired": (SecretStr("one-retired"), SecretStr("another-retired")),
    }
)
SECRETS = secrets_of(CREDENTIALS)
KEY = SECRETS["certificate_key"]


def _printed(text: str) -> str:
    """Return a text as pyinfra prints a command's output."""
    return "".join(f"[@fake/quay] {line}\n" for line in text.splitlines())


def test_all_secrets_are_searched_and_nothing_else() -> None:
    assert SECRETS.keys() == {
        "superuser_password",
        "superuser_passwords_retired",
        "database_secret_key",
        "secret_key",
        "database_password",
        "redis_password",
        "ca_key",
        "certificate_key",
    }


@pytest.mark.parametrize(
    "shown",
    [
        PASSWORD,
        json.dumps({"Env": [PASSWORD]}),
        f"echo {shlex.quote(PASSWORD)} >file",
        *(b64encode(f"{'x' * before}{PASSWORD}\n".encode()).decode() for before in range(3)),
        _printed(encodebytes(f"{'x' * 50}{PASSWORD}{'x' * 50}".encode()).decode()),
        json.dumps({"data": encodebytes(f"{'x' * 50}{PASSWORD}".encode()).decode()}),
        b64encode(json.dumps({"password": PASSWORD}).encode()).decode(),
    ],
    ids=["plain", "JSON", "shell", "0", "1", "2", "lines", "lines in JSON", "JSON inside"],
)
def test_a_password_is_found(shown: str) -> None:
    assert leaked(SECRETS, f"before {shown} after") == ["redis_password"]


@pytest.mark.parametrize("retired", ["one-retired", "another-retired"])
def test_each_of_several_passwords_is_found(retired: str) -> None:
    assert leaked(SECRETS, f"before {retired} after") == ["superuser_passwords_retired"]


@pytest.mark.parametrize(
    "shown",
    [
        _printed(KEY),
        json.dumps({"key": KEY}),
        "".join(f"  {line}\n" for line in KEY.splitlines()),
        b64encode(f"key: |\n{KEY}".encode()).decode(),
        _printed(encodebytes(f"key: |\n{KEY}".encode()).decode()),
    ],
    ids=["lines", "JSON", "indented", "base64", "lines of base64"],
)
def test_a_key_is_found(shown: str) -> None:
    assert leaked(SECRETS, f"before {shown} after") == ["certificate_key"]


def test_a_key_of_one_line_is_found() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n"
    assert leaked({"key": key}, _printed(key)) == ["key"]


def test_what_is_public_is_no_leak() -> None:
    made = CREDENTIALS
    public = f"{made.identity} {made.ca_certificate} {made.certificate} -----BEGIN PRIVATE KEY-----"
    assert leaked(SECRETS, f"{public} {b64encode(public.encode()).decode()}") == []
