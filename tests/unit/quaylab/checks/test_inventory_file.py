"""The text of an inventory; tests/deploy has what pyinfra does with each."""

from __future__ import annotations

from pathlib import Path

import pytest

from quaylab.checks.inventory_file import problems
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
