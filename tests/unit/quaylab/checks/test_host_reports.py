"""Problems with what hosts report of themselves."""

from __future__ import annotations

import pytest

from quaylab.checks import host_reports
from quaylab.engines.state import Engine
from tests.unit.samples import machine


def test_bare_debian_host_is_fine() -> None:
    assert list(host_reports.machine_problems("quay.example.com", machine())) == []


def test_without_root_the_flag_is_named() -> None:
    (problem,) = host_reports.machine_problems("quay.example.com", machine(uid=1000))
    assert "quay.example.com" in problem
    assert "uid 1000" in problem
    assert "--sudo" in problem


@pytest.mark.parametrize(("os_id", "name"), [("alpine", "alpine"), ("", "unknown")])
def test_unknown_system_is_refused(os_id: str, name: str) -> None:
    (problem,) = host_reports.machine_problems("quay.example.com", machine(os_id=os_id))
    assert f"operating system is {name}" in problem
    assert "debian, ubuntu, rhel" in problem


def test_unsupported_engine_is_refused_with_its_reason() -> None:
    engine = Engine(None, None, "rootless, and can't bind the registry's ports")
    (problem,) = host_reports.engine_problems("quay.example.com", machine(engine=engine))
    assert problem == (
        "quay.example.com: its `docker` is rootless, and can't bind the registry's ports"
    )


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "quay: its report can't be read; the error stands above"),
        ("sudo: sorry, you must have a tty to run sudo", "_sudo: sudo on quay wants a terminal"),
        ("\nThis account is currently not available.\n\n", "says: This account is currently not"),
        (
            "",
            "quay: runs no command for this user, and says: nothing; set ssh_user to a user",
        ),
    ],
)
def test_a_host_that_reports_nothing(output: str | None, message: str) -> None:
    assert message in host_reports.silent_problem("quay", output)


def test_a_password_that_sudo_does_not_get() -> None:
    assert "no terminal to type it at; set _sudo_password" in (
        host_reports.password_problem("quay", is_given=False)
    )
    assert "if /tmp is mounted noexec set _temp_dir" in (
        host_reports.password_problem("quay", is_given=True)
    )
