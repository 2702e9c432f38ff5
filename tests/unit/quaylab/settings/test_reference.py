"""The page of settings, which is generated from the models and group_data/all.py."""

from __future__ import annotations

from quaylab.paths import ROOT
from quaylab.settings.reference import settings_page

PAGE = ROOT / "docs" / "settings.md"


def test_the_page_of_settings_is_up_to_date() -> None:
    assert settings_page() == PAGE.read_text(), (
        "run: python -m quaylab.settings.reference >docs/settings.md"
    )
