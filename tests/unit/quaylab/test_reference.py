"""The page of settings is made from the models and group_data/all.py."""

from __future__ import annotations

from pathlib import Path

from quaylab.reference import settings_page

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def test_the_page_of_settings_is_up_to_date() -> None:
    assert settings_page() == PAGE.read_text(), "run: python -m quaylab.reference >docs/settings.md"
