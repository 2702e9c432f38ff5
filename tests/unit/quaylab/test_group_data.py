"""group_data/all.py is the reference manual: every setting, its meaning and its default."""

from __future__ import annotations

import re

import pytest

from quaylab.services import object_store
from quaylab.settings.loading import HostSettings, Settings
from tests.unit.samples import DEFAULTS, GROUP_DATA, HOST_DEFAULTS

ASSIGNMENT = re.compile(r"^([a-z_]+)(: [^=]+)? = ")
FIELDS = Settings.model_fields | HostSettings.model_fields
SECTION = re.compile(r"^# --- .* ---$")


def _comments() -> dict[str, str]:
    """The comment above each assignment, its lines joined."""
    comments: dict[str, str] = {}
    lines: list[str] = []
    for line in GROUP_DATA.read_text().splitlines():
        if found := ASSIGNMENT.match(line):
            comments[found[1]] = " ".join(lines)
            lines = []
        elif line.startswith("# ") and not SECTION.match(line):
            lines.append(line.removeprefix("# "))
    return comments


def test_order_is_that_of_the_model() -> None:
    assert [*DEFAULTS, *HOST_DEFAULTS] == [*FIELDS]


def test_the_object_stores_defaults_are_the_same() -> None:
    """It tells by them which settings the user has set."""
    allowed = {key for keys in object_store.ALLOWED.values() for key in keys}
    given = {key: DEFAULTS[key] for key in allowed if DEFAULTS[key] not in (None, False, {})}
    assert given == object_store.DEFAULTS
    assert DEFAULTS["storage_path"] == object_store.LOCAL_PATH


@pytest.mark.parametrize("key", FIELDS)
def test_comment_is_the_models_description(key: str) -> None:
    assert _comments()[key] == f"{FIELDS[key].description}."
