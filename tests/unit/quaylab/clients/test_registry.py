"""The client of Quay's HTTP interfaces, with a small Quay over TLS."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from quaylab.clients.registry import Health, Registry, RegistryError
from quaylab.secrets.certificates import LEAF_LIFE
from quaylab.secrets.credentials import Credentials
from tests.authority import Authority
from tests.unit.quaylab.small_quay import EMAIL, PASSWORD, USER, SmallQuay, serving
from tests.unit.samples import CREDENTIALS, certified

NAME = "quay.example.com"


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return certified(NAME)


@pytest.fixture
def quay(credentials: Credentials, tmp_path: Path) -> Iterator[SmallQuay]:
    """A small Quay with its superuser."""
    with serving(credentials, tmp_path) as server:
        server.users[USER] = PASSWORD
        yield server


@pytest.fixture
def client(credentials: Credentials, quay: SmallQuay) -> Iterator[Registry]:
    assert credentials.ca_certificate
    registry = Registry(NAME, credentials.ca_certificate, quay.target)
    yield registry
    registry.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every sleep fail the test."""

    def sleep(seconds: float) -> None:
        pytest.fail(f"slept for {seconds} s")

    monkeypatch.setattr(time, "sleep", sleep)


# --- TLS ---


def test_trusting_the_leaf_itself_is_enough(credentials: Credentials, quay: SmallQuay) -> None:
    assert credentials.certificate
    assert Registry(NAME, credentials.certificate, quay.target).health().ok


@pytest.mark.parametrize("anchor", ["CA", "certificate"])
def test_private_ca_of_openssl_is_trusted(tmp_path: Path, anchor: str) -> None:
    authority = Authority.by_openssl(tmp_path)
    certificate, key = authority.sign(NAME)
    served = {"certificate": certificate + authority.pem, "certificate_key": SecretStr(key)}
    with serving(CREDENTIALS.model_copy(update=served), tmp_path) as quay:
        trusted = authority.pem if anchor == "CA" else certificate + authority.pem
        client = Registry(NAME, trusted, quay.target)
        assert client.health().ok
        client.close()


@pytest.mark.parametrize("name", ["other.example.com", "other.example.com:8443"])
def test_certificate_of_another_name_is_refused(
    credentials: Credentials, quay: SmallQuay, name: str, impatient: None
) -> None:
    assert credentials.ca_certificate
    client = Registry(name, credentials.ca_certificate, quay.target)
    with pytest.raises(RegistryError, match=r"GET /health/endtoend: .*other\.example\.com"):
        client.health()
    assert quay.seen == []


def test_certificate_of_another_ca_is_refused(quay: SmallQuay, impatient: None) -> None:
    stranger = certified(NAME).ca_certificate
    assert stranger
    with pytest.raises(RegistryError, match="CERTIFICATE_VERIFY_FAILED"):
        Registry(NAME, stranger, quay.target).health()


def test_a_refused_connection_is_reported_at_once(
    credentials: Credentials, impatient: None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = ("127.0.0.1", server.getsockname()[1])
    assert credentials.ca_certificate
    with pytest.raises(RegistryError, match=r"GET /health/endtoend: .*refused") as error:
        Registry(NAME, credentials.ca_certificate, target).health()
    assert " object at 0x" not in str(error.value)


def test_days_left_of_the_served_certificate(client: Registry) -> None:
    assert client.days_left() == LEAF_LIFE.days - 1


def test_days_left_without_a_server_is_an_error(credentials: Credentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = ("127.0.0.1", server.getsockname()[1])
    assert credentials.ca_certificate
    with pytest.raises(RegistryError, match=r"TLS: .*refused"):
        Registry(NAME, credentials.ca_certificate, target).days_left()


# --- health ---


@pytest.mark.parametrize("scope", ["endtoend", "instance"])
def test_healthy(client: Registry, quay: SmallQuay, scope: str) -> None:
    assert client.health(scope) == Health(True, {"auth": True, "database": True})
    assert quay.seen == [f"GET /health/{scope}"]


def test_unhealthy_services_are_named(client: Registry, quay: SmallQuay) -> None:
    services = {"storage": False, "auth": True, "redis": False}
    quay.force("GET /health/endtoend", 503, {"data": {"services": services}})
    health = client.health()
    assert not health.ok
    assert health.failing == "redis, storage"


# --- first user, session ---


def test_first_user_signs_in_as_a_superuser(client: Registry, quay: SmallQuay) -> None:
    quay.users.clear()
    assert client.initialize(USER, PASSWORD, EMAIL)
    assert client.sign_in(USER, PASSWORD)
    assert client.is_superuser()


def test_a_database_with_users_is_no_error(client: Registry) -> None:
    assert not client.initialize(USER, PASSWORD, EMAIL)


def test_another_refusal_of_the_first_user_is_an_error(client: Registry, quay: SmallQuay) -> None:
    quay.force("POST /api/v1/user/initialize", 400, {"message": "Invalid e-mail address"})
    with pytest.raises(RegistryError, match="refused the first user: Invalid e-mail address"):
        client.initialize(USER, PASSWORD, EMAIL)


def test_wrong_password_does_not_sign_in(client: Registry) -> None:
    assert not client.sign_in(USER, "wrong-password")
    assert not client.is_superuser()


def test_a_user_who_is_not_a_superuser(client: Registry, quay: SmallQuay) -> None:
    quay.users["someone"] = PASSWORD
    assert client.sign_in("someone", PASSWORD)
    assert not client.is_superuser()


def test_password_is_changed(client: Registry, quay: SmallQuay) -> None:
    client.sign_in(USER, PASSWORD)
    client.change_password("another-password")
    assert quay.users == {USER: "another-password"}


def test_repositories_are_deleted_by_the_beginning_of_their_name(
    client: Registry, quay: SmallQuay
) -> None:
    quay.repositories |= {f"{USER}/check-1", f"{USER}/mine", f"{USER}/check-2"}
    client.sign_in(USER, PASSWORD)
    client.delete_repositories(USER, "check-")
    assert quay.repositories == {f"{USER}/mine"}


def test_deleting_repositories_needs_a_session(client: Registry, quay: SmallQuay) -> None:
    quay.repositories.add(f"{USER}/check-1")
    with pytest.raises(RegistryError, match="HTTP 403"):
        client.delete_repositories(USER, "check-")
    assert quay.repositories == {f"{USER}/check-1"}


# --- push and pull ---


def test_round_trip_leaves_no_image(client: Registry, quay: SmallQuay) -> None:
    digest = client.round_trip(USER, PASSWORD, "check-")
    assert digest.startswith("sha256:")
    assert len(quay.blobs) == 2
    assert quay.manifests == {}
    (name,) = quay.repositories
    assert name.startswith(f"{USER}/check-")
    assert quay.seen[0] == "GET /v2/auth"
    assert quay.seen[-1] == f"DELETE /v2/{name}/manifests/verify"


def test_each_round_trip_has_new_digests_because_quay_caches(
    client: Registry, quay: SmallQuay
) -> None:
    digests = set()
    for _ in range(2):
        digests.add(client.round_trip(USER, PASSWORD, "check-"))
        client.sign_in(USER, PASSWORD)
        client.delete_repositories(USER, "check-")
    assert len(digests) == 2


def test_changed_content_is_found(
    client: Registry, quay: SmallQuay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda size: "1")
    quay.force(f"GET /v2/{USER}/check-1/manifests/verify", 200, b"another manifest")
    with pytest.raises(RegistryError, match=f"{USER}/check-1 came back .* with another content"):
        client.round_trip(USER, PASSWORD, "check-")


def test_rate_limit_is_waited_for(client: Registry, quay: SmallQuay) -> None:
    quay.force("GET /v2/auth", 429)
    assert client.round_trip(USER, PASSWORD, "check-")
    assert quay.seen.count("GET /v2/auth") == 2


def test_waits_for_the_rate_limit_get_longer(
    client: Registry, quay: SmallQuay, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    quay.force("GET /v2/auth", 429, times=4)
    assert client.round_trip(USER, PASSWORD, "check-")
    assert slept == sorted(slept)
    assert sum(slept) > 2


def test_endless_rate_limit_ends(
    client: Registry, quay: SmallQuay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    quay.force("GET /v2/auth", 429, times=50)
    with pytest.raises(RegistryError, match=r"GET /v2/auth: .*429"):
        client.round_trip(USER, PASSWORD, "check-")


# --- answers that are not Quay's ---


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"errors": [{"message": "access denied"}]}, "HTTP 500 (access denied)"),
        (
            {"errors": [{"message": "manifest invalid", "detail": {"message": "no layer\n\nIn"}}]},
            "HTTP 500 (manifest invalid: no layer)",
        ),
        ({"message": "out of order"}, "HTTP 500 (out of order)"),
        ({"error_message": "out of order"}, "HTTP 500 (out of order)"),
        ([], "HTTP 500"),
        ("<html>", "HTTP 500"),
        ({"errors": ["denied"]}, "HTTP 500"),
    ],
    ids=["errors", "detail", "message", "error_message", "list", "page", "other errors"],
)
def test_the_registrys_error_message_is_shown(
    client: Registry, quay: SmallQuay, body: Any, message: str
) -> None:
    quay.force("GET /health/endtoend", 500, body)
    with pytest.raises(RegistryError) as error:
        client.health()
    assert str(error.value) == f"GET /health/endtoend: {message}"


@pytest.mark.parametrize("body", ["<html>Welcome to nginx!</html>", "[]", "{}", '{"data": 1}'])
@pytest.mark.parametrize(
    ("request_line", "call"),
    [
        ("GET /health/endtoend", lambda client: client.health()),
        ("GET /csrf_token", lambda client: client.sign_in(USER, PASSWORD)),
        ("GET /v2/auth", lambda client: client.round_trip(USER, PASSWORD, "check-")),
    ],
    ids=["health", "sign in", "token"],
)
def test_another_server_is_not_taken_for_quay(
    client: Registry,
    quay: SmallQuay,
    request_line: str,
    call: Callable[[Registry], object],
    body: str,
) -> None:
    quay.force(request_line, 200, body)
    with pytest.raises(RegistryError, match="is it Quay"):
        call(client)


def test_redirect_is_not_followed(client: Registry, quay: SmallQuay) -> None:
    quay.force("GET /health/endtoend", 302)
    with pytest.raises(RegistryError, match="HTTP 302"):
        client.health()


def test_errors_hold_no_password(client: Registry) -> None:
    with pytest.raises(RegistryError) as error:
        client.round_trip(USER, "wrong-password", "check-")
    assert "wrong-password" not in str(error.value)
    assert "Invalid Username or Password" in str(error.value)


# --- a push at one place and a pull at another one ---


def test_what_is_pushed_is_pulled_again(client: Registry, quay: SmallQuay) -> None:
    pushed = client.push(USER, PASSWORD, "check-")
    assert pushed.name.startswith(f"{USER}/check-")
    assert quay.repositories == {pushed.name}
    assert pushed.digest == f"sha256:{hashlib.sha256(pushed.image.manifest).hexdigest()}"
    client.pull(USER, PASSWORD, pushed)
    assert not [request for request in quay.seen if request.startswith("DELETE")]


def test_an_image_that_does_not_arrive_elsewhere(client: Registry, quay: SmallQuay) -> None:
    pushed = client.push(USER, PASSWORD, "check-")
    quay.manifests.clear()
    with pytest.raises(RegistryError, match="HTTP 404"):
        client.pull(USER, PASSWORD, pushed)


@pytest.mark.parametrize("content", ["manifests", "blobs"])
def test_an_image_that_comes_back_changed(client: Registry, quay: SmallQuay, content: str) -> None:
    pushed = client.push(USER, PASSWORD, "check-")
    stored: dict[str, bytes] = getattr(quay, content)
    stored.update(dict.fromkeys(stored, b"another"))
    with pytest.raises(RegistryError, match="came back from the registry with another content"):
        client.pull(USER, PASSWORD, pushed)


def test_blobs_come_through_the_registrys_own_proxy(client: Registry, quay: SmallQuay) -> None:
    quay.sends_to = f"https://{NAME}/_storage_proxy/allowed/https/store"
    pushed = client.push(USER, PASSWORD, "check-")
    client.pull(USER, PASSWORD, pushed)
    assert any(request.startswith("GET /_storage_proxy/") for request in quay.seen)
    quay.sends_to = f"https://{NAME}/_storage_proxy/forged/https/store"
    with pytest.raises(RegistryError, match=r"GET /_storage_proxy/.*HTTP 401"):
        client.pull(USER, PASSWORD, pushed)


def test_a_refused_login_ends_either(client: Registry, quay: SmallQuay) -> None:
    pushed = client.push(USER, PASSWORD, "check-")
    quay.users[USER] = "another-password"
    with pytest.raises(RegistryError, match="Invalid Username or Password"):
        client.push(USER, PASSWORD, "check-")
    with pytest.raises(RegistryError, match="Invalid Username or Password"):
        client.pull(USER, PASSWORD, pushed)
