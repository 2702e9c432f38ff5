"""The text of an inventory; tests/deploy has what pyinfra does with each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quaylab.checks.inventory_file import group_problems, problems, value_problems
from quaylab.settings.loading import HostInput
from tests.unit.samples import ROOT


@pytest.mark.parametrize("path", sorted(ROOT.glob("**/inventory.py")), ids=str)
def test_our_own_inventories_are_right(path: Path) -> None:
    assert list(problems(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        'quay = ["bare1"]',
        'quay = (["bare1"], {"ssh_user": "me"})',
        'quay = ([("bare1", _DATA)], {"ssh_user": "me"})',
        'quay = [("bare1", {"ssh_user": "me"}), _VM, f"bare{2}", *_MORE]',
        "quay = _hosts()",
        "quay = [name for name in _NAMES]",
        'DOMAIN = "example.com"',
        '_helper = "x"',
        "import os\nrack1 = []",
    ],
)
def test_what_pyinfra_accepts_and_what_only_a_run_can_check(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inventory.py"
    path.write_text(text)
    assert list(problems(path)) == []


def test_each_problem_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "inventory.py"
    path.write_text('quay = redis = "bare1"\nrack1 = ["a", 2]\naddress = "10.0.0.1"\n')
    found = list(problems(path))
    assert [problem.partition(":")[0] for problem in found] == [
        "quay",
        "redis",
        "rack1[1]",
        "address",
    ]


def test_bytes_that_are_not_python(tmp_path: Path) -> None:
    path = tmp_path / "inventory.py"
    path.write_bytes(b"quay = ['\xff']\n")
    assert "can't be read as Python" in "".join(problems(path))
    path.write_bytes(b"quay = \0\n")
    assert "can't be read as Python" in "".join(problems(path))


@pytest.mark.parametrize("name", ["", " "])
def test_host_without_a_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "inventory.py"
    path.write_text(f"quay = [{name!r}]\n")
    (problem,) = problems(path)
    assert problem.startswith(f"quay[0]: {name!r} is not a host")


@pytest.mark.parametrize("text", ['lab_name: str = "mine"', 'quay, lab_name = ["bare1"], "mine"'])
def test_a_setting_with_a_type_or_beside_another_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inventory.py"
    path.write_text(text)
    assert [each.partition(":")[0] for each in problems(path)] == ["lab_name"]


def test_a_file_with_a_nul_names_no_line(tmp_path: Path) -> None:
    path = tmp_path / "inventory.py"
    path.write_bytes(b"quay = []\0\n")
    (problem,) = problems(path)
    assert "None" not in problem


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"ceph": (each for each in "a")}, "ceph: a generator is not a list of hosts"),
        ({"ceph": list}, "ceph: a type is not a list of hosts"),
        ({"ceph": (("a", {}), ("b", {}), ("c", {}))}, "ceph: a tuple is not a list of hosts"),
        ({"ceph": [["a"]]}, "ceph[0]: a list is not a host"),
        ({"quay": ["a", " "]}, "quay[1]: ' ' is not a host, which is a name or"),
        ({"rack1": [("", {"x": "secret"})]}, "rack1[0]: a tuple is not a host"),
        ({"quay": [("a", ["secret"])]}, "quay[0]: a tuple is not a host"),
        ({"rack1": (["a"], "secret")}, "rack1: its data is a str; write it as a dict"),
    ],
)
def test_values_that_pyinfra_would_ignore(values: dict[str, Any], problem: str) -> None:
    (found,) = value_problems(values)
    assert found.startswith(problem)
    assert "secret" not in found


def test_values_that_pyinfra_accepts() -> None:
    values: dict[str, Any] = {
        "quay": [("a", {}), "b"],
        "redis": (["a"], {"x": 1}),
        "numbers": [1],
        "ceph": [],
    }
    assert list(value_problems({**values, "_host": ("a", 1), "DOMAIN": "x", "sys": pytest})) == []


QUAY = HostInput("quay", ("quay", "database", "redis", "inventory"), {})


@pytest.mark.parametrize(
    ("group", "meant"), [("balancers", "balancer"), ("databse", "database"), ("labs", "lab")]
)
def test_a_misspelt_group(group: str, meant: str) -> None:
    others = [HostInput(name, (group, "inventory"), {}) for name in ("one", "two")]
    (problem,) = group_problems([QUAY, *others], ["quay", group])
    assert problem == (
        f"{group}: one is in this group, in which nothing runs; did you mean {meant}?"
    )


def test_a_misspelt_file_of_group_data() -> None:
    (problem,) = group_problems([QUAY], ["quay", "databse", "all"])
    assert problem == "databse: no host is in this group, which has data; did you mean database?"


@pytest.mark.parametrize("group", ["clients", "routers", "object_stores", "local", "all"])
def test_a_group_of_another_name(group: str) -> None:
    assert list(group_problems([QUAY, HostInput("one", (group,), {})], [group, "others"])) == []


def test_a_group_beside_a_known_one() -> None:
    host = HostInput("quay", ("quay", "databases"), {})
    assert list(group_problems([host], ["databases"])) == []
