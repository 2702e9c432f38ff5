"""Host data for pyinfra itself: typing errors, and values that it would ignore."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.checks.pyinfra_data import problems
from quaylab.settings.loading import HostInput

KNOWN = ("ssh_user", "ssh_hostname", "ssh_port", "_sudo", "_sudo_password", "_su_user", "_env")


def _problems(**data: Any) -> list[str]:
    return list(problems(HostInput("bare1", ("quay",), data), KNOWN))


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("ssh_usr", "ssh_user"),
        ("ssh_host_name", "ssh_hostname"),
        ("_sudoo", "_sudo"),
        ("_sudo_pasword", "_sudo_password"),
        ("_sudopassword", "_sudo_password"),
        ("_su_usr", "_su_user"),
    ],
)
def test_a_typing_error_is_reported_with_the_nearest_key(key: str, near: str) -> None:
    (problem,) = _problems(**{key: "x"})
    assert problem == f"{key}: pyinfra has no such key for bare1; did you mean {near}?"


def test_without_a_near_key_all_are_listed() -> None:
    (problem,) = _problems(ssh_xyzzy=1)
    assert problem.endswith("it has: ssh_hostname, ssh_port, ssh_user")


@pytest.mark.parametrize("key", ["_domain", "_packages", "_VM", "lab_name", "ssh_pub_key"])
def test_helpers_and_settings_are_accepted(key: str) -> None:
    assert _problems(**{key: "x"}) == []


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_numbers_that_are_not_ports(port: int) -> None:
    assert _problems(ssh_port=port) == [f"ssh_port: {port} is not a port of bare1; for example 22"]


def test_good_data() -> None:
    assert _problems(ssh_port=22, ssh_user="me", _sudo=True, _env={}) == []
    assert _problems(ssh_user="") == ["ssh_user: is empty for bare1; leave it out"]


def test_a_key_that_is_not_a_text() -> None:
    host = HostInput("bare1", ("quay",), {1: 2})  # type: ignore[dict-item]
    assert list(problems(host, [])) == ["1: in the data of bare1, whose keys are texts"]


def test_a_number_of_retries_with_which_nothing_would_run() -> None:
    host = HostInput("bare1", ("quay",), {"_retries": -1})
    (problem,) = problems(host, ["_retries"])
    assert problem.startswith("_retries: -1 is not a number of retries of bare1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_ignore_errors", True),
        ("_success_exit_codes", [0, 1]),
        ("_run_once", True),
        ("_if", bool),
        ("_serial", True),
    ],
)
def test_arguments_that_would_hide_what_was_not_done(key: str, value: object) -> None:
    (problem,) = problems(HostInput("bare1", ("quay",), {key: value}), [key])
    assert problem.startswith(f"{key}: is set for bare1; leave it out: ")
    assert list(problems(HostInput("bare1", ("quay",), {key: None}), [key])) == []


def test_a_number_of_hosts_with_which_nothing_would_run() -> None:
    (problem,) = problems(HostInput("bare1", ("quay",), {"_parallel": -1}), ["_parallel"])
    assert problem == "_parallel: -1 is not a number of hosts of bare1; leave it out for all"


LONG = "a" * 64


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("me@bare1", "has a user before the @; leave it out, and set ssh_user"),
        ("bare1:22", "has a port after the colon; leave it out, and set ssh_port"),
        ("[fd00::1]:22", "has a port after the colon; leave it out, and set ssh_port"),
        ("a..b", "has a part, between dots, that is not 1 to 63 characters long; correct it"),
        (LONG, "has a part, between dots, that is not 1 to 63 characters long; correct it"),
    ],
)
def test_a_host_that_ssh_would_not_find(target: str, message: str) -> None:
    assert _problems(ssh_hostname=target) == [f"ssh_hostname: {target} of bare1 {message}"]
    for name in (target, f"@ssh/{target}"):
        assert list(problems(HostInput(name, (), {}), KNOWN)) == [f"{name}: {message}"]
        assert list(problems(HostInput(name, (), {"ssh_hostname": "10.0.0.1"}), KNOWN)) == []


@pytest.mark.parametrize(
    "name", ["bare_1", "bare1.example.com.", "10.0.0.1", "fd00::1", "@docker/debian:13", "@local"]
)
def test_a_host_that_can_be_found(name: str) -> None:
    assert list(problems(HostInput(name, (), {}), KNOWN)) == []
