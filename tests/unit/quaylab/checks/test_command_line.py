"""Options with which pyinfra would do nothing, or only a part."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.checks.command_line import limit_problems, option_problems
from quaylab.settings.loading import HostInput

GOOD = {
    "no_wait": False,
    "serial": False,
    "fail_percent": None,
    "data": ("purge=a=b",),
    "parallel": None,
    "retry": 0,
    "ssh_port": None,
    "dry": False,
    "yes": True,
}
HOSTS = [
    HostInput("quay.example.com", ("quay", "inventory"), {}),
    HostInput("db.example.com", ("database", "inventory"), {}),
]


@pytest.mark.parametrize(
    "changes",
    [{}, {"ssh_port": 2222}, {"fail_percent": 0}, {"yes": False}, {"yes": False, "dry": True}],
)
def test_good_options(changes: dict[str, Any]) -> None:
    assert list(option_problems(GOOD | changes)) == []


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"no_wait": True}, "--no-wait"),
        ({"serial": True}, "--serial"),
        ({"fail_percent": 50}, "--fail-percent"),
        ({"data": ("a=b", "purge")}, "--data"),
        ({"data": ("=b",)}, "--data"),
        ({"parallel": -1}, "--parallel"),
        ({"retry": -1}, "--retry"),
        ({"ssh_port": 0}, "--ssh-port"),
        ({"ssh_port": 70000}, "--ssh-port"),
        ({"dry": True}, "--dry"),
    ],
)
def test_bad_options(changes: dict[str, Any], option: str) -> None:
    (problem,) = option_problems(GOOD | changes)
    assert problem.startswith(f"{option}: ")


@pytest.mark.parametrize("limit", ["quay", "inventory", "db.example.com", "*.example.com"])
def test_a_limit_that_matches(limit: str) -> None:
    assert list(limit_problems(HOSTS, {"limit": [limit]}, 1)) == []


def test_a_limit_that_matches_nothing() -> None:
    (problem,) = limit_problems(HOSTS, {"limit": ["quay", "databse"]}, 1)
    assert problem == (
        "--limit: 'databse' is neither a host nor a group of the inventory, which has: "
        "quay.example.com, db.example.com, quay, inventory, database"
    )


def test_hosts_may_be_left_out_by_name() -> None:
    """`./lab down` does that with VMs; then no host may be left."""
    assert list(limit_problems(HOSTS, {"limit": []}, 0)) == []
    assert len(list(limit_problems(HOSTS, {"limit": ["quay"]}, 0))) == 1
