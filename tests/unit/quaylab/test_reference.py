"""The README's table of settings is the models' and group_data/all.py's own."""

from __future__ import annotations

from pathlib import Path

from quaylab.reference import settings_table

README = Path(__file__).parents[3] / "README.md"


def test_readme_has_the_table_as_it_is() -> None:
    assert settings_table() in README.read_text(), "run: python -m quaylab.reference"
