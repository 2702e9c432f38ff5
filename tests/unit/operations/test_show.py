"""The picture of an inventory, as `./lab show` prints it."""

from __future__ import annotations

from pathlib import Path

import pytest

from operations.show import main

DEFAULTS = "from pathlib import Path\n_names = {1}\npull_secret = Path('/etc/hostname')\n"


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    """An inventory with a path in its data, and a helper of a kind that JSON does not have."""
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data" / "all.py").write_text(DEFAULTS)
    (tmp_path / "inventory.py").write_text('quay = database = redis = ["@local"]\n')
    return str(tmp_path / "inventory.py")


@pytest.mark.parametrize(
    "data", [["--data", "redis_port=7000"], ["--data=redis_port=7000"], ["redis_port=7000"]]
)
def test_data_may_be_given_as_for_other_verbs(
    inventory: str, data: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([inventory, *data]) == 0
    assert "redis :7000" in capsys.readouterr().out
    assert main([inventory, "--mermaid", *data]) == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n")


def test_a_word_that_is_no_data(inventory: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([inventory, "--data", "a", "b"]) == 1
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines == ["  - --data: b is not KEY=VALUE", "  - --data: a is not KEY=VALUE"]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("ceph_osd_devices = {'/dev/sdb'}", "it holds a set"),
        ("quay_config = {'A': [b'x']}", "it holds a bytes"),
    ],
)
def test_a_value_that_no_setting_takes(
    inventory: str, setting: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(inventory).with_name("group_data").joinpath("all.py").write_text(f"{setting}\n")
    assert main([inventory]) == 1
    assert capsys.readouterr().err == (
        f"{setting.split()[0]}: can't be read for @local: {reason}; write texts, numbers and "
        "lists\n"
    )


def test_a_misspelt_group(inventory: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Path(inventory).open("a") as file:
        file.write("balancers = ['@fake/two']\n")
    assert main([inventory]) == 1
    assert "balancers: @fake/two is in this group" in capsys.readouterr().err
