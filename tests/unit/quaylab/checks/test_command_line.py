"""Options with which pyinfra would do nothing, or only a part."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.checks.command_line import TASKS, action_problems, limit_problems, option_problems
from quaylab.settings.loading import HostInput, Settings
from tests.unit.samples import ROOT

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


@pytest.mark.parametrize(
    ("key", "operations", "task"),
    [
        ("purge", ["deploy.py"], "tasks/teardown.py"),
        ("forget", ["tasks/quay.py"], "tasks/forget_member.py"),
        ("purge_engine", ["deploy.py"], "tasks/purge_engine.py"),
        ("reimage", ["tasks/images.py"], "tasks/hypervisor.py"),
        ("restore", ["tasks/database.py", "tasks/quay.py"], "tasks/restore_database.py"),
    ],
)
def test_a_setting_that_a_run_would_ignore(key: str, operations: list[str], task: str) -> None:
    hosts = [*HOSTS, HostInput("redis.example.com", ("redis",), {key: "x"})]
    (problem,) = action_problems(hosts, operations)
    assert problem.startswith(
        f"{key}: is set, and {' and '.join(operations)} would ignore it; leave it out, or run "
        f"{task}"
    )
    assert "deploy.py" not in problem.partition(";")[2]
    assert list(action_problems(hosts, [task])) == []
    assert list(action_problems([*HOSTS, HostInput("a", (), {key: None})], operations)) == []


@pytest.mark.parametrize("operations", [["my/down.py"], ["exec", "--", "true"]])
def test_runs_that_may_take_any_setting(operations: list[str]) -> None:
    assert list(action_problems([HostInput("a", (), {"purge": "x"})], operations)) == []


def test_the_tasks_of_settings_exist() -> None:
    assert [task for tasks in TASKS.values() for task in tasks if not (ROOT / task).is_file()] == []
    assert TASKS.keys() <= Settings.model_fields.keys()
