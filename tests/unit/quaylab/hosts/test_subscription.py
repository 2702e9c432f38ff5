"""RHEL's subscription: what follows from the client's output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from quaylab.hosts.subscription import (
    Answer,
    Registration,
    blamed_setting,
    configuration,
    differing,
    host_problems,
    register,
    registration,
    secret,
    settings_problems,
)
from quaylab.problems import Refusal
from tests.unit.samples import certified, settings

UUID = "eeb161eb-1acb-434f-aa56-57a902325e93"
VERSION = Answer(("server type: ", "subscription-manager: 1.29.40-1.el9_4"), 0)
IDENTITY = Answer((f"system identity: {UUID}", "name: quay01", "org ID: acme"), 0)
UNLOCKED = Answer(("Release not set",), 0)
NOT_YET = Answer(("This system is not yet registered. Try 'subscription-manager register'",), 1)
DELETED = Answer((f'Consumer profile "{UUID}" has been deleted from the server.',), 69)
DELETED_1_24 = Answer((f"Unit {UUID} has been deleted",), 70)
UNKNOWN = Answer((f'Unit with ID "{UUID}" could not be found. (HTTP error code 404)',), 70)
UNKNOWN_TO_SATELLITE = Answer((f"Couldn't find consumer '{UUID}' (HTTP error code 404)",), 70)
CORRUPTED = Answer(("Consumer identity either does not exist or is corrupted. Try register",), 65)
NO_KEY = Answer(("Unable to verify server's identity: [SSL] PEM lib (_ssl.c:4114)",), 70)
OTHER_KEY = Answer(("Unable to verify server's identity: [X509: KEY_VALUES_MISMATCH] key",), 70)
UNUSABLE = Answer(("System certificates corrupted. Please reregister.",), 70)
UNVERIFIED = Answer(("Unable to verify server's identity: [SSL: CERTIFICATE_VERIFY_FAILED]",), 70)
BAD_CA = Answer(("Bad CA certificate: /etc/rhsm/ca/quaylab.pem: [SSL] PEM lib (_ssl.c:4149)",), 70)
WRONG_PREFIX = Answer(("Could not find resource for full path: /x (HTTP error code 404)",), 70)
DOWN = Answer(("Connection error: Connection refused (error code 111)",), 70)
NO_RELEASES = Answer(("Error: The 'release' command is not supported by the server.",), 69)
REGISTERED = Registration(True, (1, 29), UUID, "acme")
VOID = Registration(True, (1, 29), void=True)
NOTHING = Answer((), 0)
FILES = Answer(("cert.pem", "key.pem"), 0)
CONFIG = Answer(
    (
        *(
            "[server]",
            "   hostname = satellite.example.com",
            "   port = [443]",
            "   prefix = /rhsm",
        ),
        *("[rhsm]", "   baseurl = [https://cdn.redhat.com]", "[] - Default value in use"),
    ),
    0,
)


def _read(identity: Answer, release: Answer, files: Answer = NOTHING) -> Registration:
    return registration(VERSION, identity, release, NOTHING, files)


@pytest.mark.parametrize(
    ("identity", "release", "found"),
    [
        (IDENTITY, UNLOCKED, REGISTERED),
        (IDENTITY, Answer(("Release: 9.4",), 0), Registration(True, (1, 29), UUID, "acme", "9.4")),
        (IDENTITY, NO_RELEASES, REGISTERED),
        (NOT_YET, NOT_YET, Registration(True, (1, 29))),
        (DELETED, DELETED, VOID),
        (DELETED_1_24, DELETED, VOID),
        (IDENTITY, DELETED, VOID),
        (UNKNOWN, UNKNOWN, VOID),
        (UNKNOWN_TO_SATELLITE, UNKNOWN_TO_SATELLITE, VOID),
        (CORRUPTED, CORRUPTED, VOID),
        (NO_KEY, UNUSABLE, VOID),
        (OTHER_KEY, UNUSABLE, VOID),
    ],
    ids=[
        *("yes", "locked", "no releases", "no", "deleted", "deleted, 1.24", "deleted, cached"),
        *("404", "404 of Satellite", "certificate cut", "key empty", "another's key"),
    ],
)
def test_registration(identity: Answer, release: Answer, found: Registration) -> None:
    assert _read(identity, release) == found


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_an_incomplete_identity_is_a_void_registration(name: str) -> None:
    """The client then reports that the host is not registered."""
    assert _read(NOT_YET, NOT_YET, Answer((name,), 0)) == VOID
    assert _read(IDENTITY, UNLOCKED, FILES) == REGISTERED


@pytest.mark.parametrize(
    ("identity", "release", "trouble"),
    [
        (DOWN, DOWN, DOWN.lines[0]),
        (IDENTITY, DOWN, DOWN.lines[0]),
        (Answer((), 137), Answer((), 137), "exit code 137"),
        (UNVERIFIED, UNUSABLE, UNVERIFIED.lines[0]),
        (BAD_CA, BAD_CA, BAD_CA.lines[0]),
        (WRONG_PREFIX, WRONG_PREFIX, WRONG_PREFIX.lines[0]),
    ],
    ids=["down", "down, identity cached", "killed", "unverified", "bad CA", "another 404"],
)
def test_trouble(identity: Answer, release: Answer, trouble: str) -> None:
    found = _read(identity, release)
    assert found.trouble == trouble
    (problem,) = host_problems("rhel1", found, settings(rhsm_organization="acme"))
    assert trouble in problem
    assert problem.startswith(("rhsm_server: rhel1 can't tell", "rhsm_ca: rhel1 can't tell"))
    assert list(host_problems("rhel1", found, settings(rhsm_organization="acme"), True)) == []


@pytest.mark.parametrize(
    ("complaint", "setting"),
    [
        ("Error: CA certificate for subscription service has not been installed.", "rhsm_ca"),
        ("Bad CA certificate: /etc/rhsm/ca/quaylab.pem: no certificate", "rhsm_ca"),
        (UNVERIFIED.lines[0], "rhsm_ca"),
        (UNUSABLE.lines[0], "rhsm_ca"),
        ("Error loading certificate: [Errno 2] No such file or directory: 'cert.pem'", "rhsm_ca"),
        ("Unable to reach the server at satellite.example.com:443/rhsm", "rhsm_server"),
        ("Connection error: Connection refused (error code 111)", "rhsm_server"),
        ("Network error: Name or service not known (error code -2)", "rhsm_server"),
        ("Network error, unable to connect to server. Please see the log", "rhsm_server"),
        ("Remote server error. Please check the connection details", "rhsm_server"),
        ("Proxy error: unable to connect to proxy.example.com", "rhsm_server"),
        ("Unable to verify server's identity: [SSL: TLSV1_ALERT_UNKNOWN_CA]", "rhsm_server"),
        (f"{UNVERIFIED.lines[0]} Hostname mismatch, certificate is not valid for", "rhsm_server"),
        ("Candlepin is in Suspend Mode (HTTP error code 503: Service Unavailable)", "rhsm_server"),
        ("The server rate limit has been exceeded, please try again later.", "rhsm_server"),
        ("Error: --org is a required parameter in non-interactive mode.", "rhsm_organization"),
        ("Organization nope does not exist. (HTTP error code 400)", "rhsm_organization"),
        ("noorg cannot register with any organizations.", None),
        ("Invalid Credentials (HTTP error code 401: Unauthorized)", None),
        ("Subscription pool deadbeef does not exist.", None),
    ],
)
def test_the_setting_that_a_message_is_about(complaint: str, setting: str | None) -> None:
    assert blamed_setting(complaint) == setting


SATELLITE = {
    "rhsm_organization": "acme",
    "rhsm_server": "https://satellite.example.com/rhsm",
    "rhsm_content": "https://satellite.example.com/pulp/content",
}


def test_rhsm_conf() -> None:
    found = registration(VERSION, IDENTITY, UNLOCKED, CONFIG, FILES)
    assert found.server == "https://satellite.example.com:443/rhsm"
    wanted = settings(**SATELLITE)
    assert configuration(wanted) == {
        "server.hostname": "satellite.example.com",
        "server.port": "443",
        "server.prefix": "/rhsm",
        "rhsm.baseurl": "https://satellite.example.com/pulp/content",
    }
    assert differing(wanted, found) == {"rhsm.baseurl": wanted.rhsm_content}
    assert configuration(settings(rhsm_organization="acme")) == {}
    plain = settings(rhsm_organization="acme", rhsm_server="https://candlepin.example.com:8443")
    assert configuration(plain)["server.port"] == "8443"
    assert configuration(plain)["server.prefix"] == "/subscription"


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (IDENTITY, "rhsm_server: rhel1 is registered with https://satellite.example.com:443/rhsm"),
        (UNVERIFIED, "rhsm_server: rhel1 is registered with https://satellite.example.com:443/"),
        (Answer((), 137), "rhsm_server: rhel1 can't tell whether it is registered with"),
    ],
    ids=["registered", "CA missing", "unknown"],
)
def test_a_registered_host_is_not_moved(identity: Answer, message: str) -> None:
    found = registration(VERSION, identity, UNLOCKED, CONFIG, FILES)
    moved = settings(**{**SATELLITE, "rhsm_server": "https://new.example.com/rhsm"})
    (problem,) = host_problems("rhel1", found, moved)
    assert problem.startswith(message)
    assert list(host_problems("rhel1", found, settings(**SATELLITE), True)) == []


@pytest.mark.parametrize(
    ("reported", "version", "pools"),
    [
        ("1.24.54-1.el7_9", (1, 24), True),
        ("1.28.42-1.el8", (1, 28), True),
        ("1.29.40-1.el9", (1, 29), True),
        ("1.30.6.1-1.el10_0", (1, 30), False),
        ("Unknown", None, False),
    ],
)
def test_pools_by_version(reported: str, version: tuple[int, int] | None, pools: bool) -> None:
    answer = Answer((f"subscription-manager: {reported}",), 0)
    found = registration(answer, NOT_YET, NOT_YET, NOTHING, NOTHING)
    assert found.version == version
    assert found.has_pools is pools


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rhsm_pool": "8a85"}, "rhsm_pool: rhel1 has subscription-manager 1.30, which can't"),
        ({"rhsm_pool_matches": "*x*"}, "rhsm_pool_matches: rhel1 has subscription-manager 1.30"),
        ({"rhsm_organization": "other"}, "rhsm_organization: rhel1 is registered with acme, not"),
    ],
)
def test_what_a_host_does_not_support(given: dict[str, Any], message: str) -> None:
    found = Registration(True, (1, 30), UUID, "acme")
    (problem,) = host_problems("rhel1", found, settings(**{"rhsm_organization": "acme", **given}))
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("given", "message"),
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
            f"rhsm_ca: {__file__} is not a PEM certificate",
        ),
    ],
)
def test_settings_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    (problem,) = settings_problems(settings(**given))
    assert problem.startswith(message)


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


@pytest.mark.parametrize("value", [None, "", "two\nlines", "line\n", " s3cret", "s3cret "])
def test_no_secret(value: str | None) -> None:
    environment = {} if value is None else {"QUAYLAB_RHSM_PASSWORD": value}
    with pytest.raises(Refusal) as refused:
        secret(BY_PASSWORD, environment, None)
    (problem,) = refused.value.problems
    assert problem.startswith("QUAYLAB_RHSM_PASSWORD: ")
    assert "password of me@example.com" in problem
    assert value in (None, "") or value not in problem


def test_a_key_may_begin_with_a_blank() -> None:
    assert secret(BY_KEY, {"QUAYLAB_RHSM_ACTIVATION_KEY": " key"}, None) == " key"


def test_the_arguments_of_register() -> None:
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
        "--username=me",
        "--password=",
    )


def test_red_hats_organizations_are_numbers() -> None:
    """`--data rhsm_organization=1234567` is read as a number."""
    assert settings(rhsm_organization=1234567).rhsm_organization == "1234567"


@pytest.mark.parametrize(
    "url",
    [
        *("http://satellite/rhsm", "https://satellite:99999/rhsm", "https://satellite/rhsm/"),
        *("https://satellite/%(prefix)s", "https://me:secret@satellite/rhsm", "https://a b/rhsm"),
    ],
)
@pytest.mark.parametrize("key", ["rhsm_server", "rhsm_content"])
def test_urls_that_rhsm_conf_does_not_accept(key: str, url: str) -> None:
    with pytest.raises(ValidationError, match=key):
        settings(rhsm_organization="acme", **{key: url})
