"""The lock files satisfy the requirement files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.unit.samples import ROOT

PINNED = re.compile(r"^([a-z0-9-]+)==([^ ;]+)", re.MULTILINE)


@pytest.mark.parametrize("folder", [ROOT, ROOT / "tests"], ids=["run", "tests"])
def test_the_lock_satisfies_the_requirements(folder: Path) -> None:
    pinned: dict[str, list[Version]] = {}
    for name, version in PINNED.findall((folder / "requirements.lock").read_text()):
        pinned.setdefault(name, []).append(Version(version))
    lines = (folder / "requirements.txt").read_text().splitlines()
    for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
        asked = Requirement(line)
        versions = pinned.get(canonicalize_name(asked.name), [])
        assert versions, f"{asked.name}: not in the lock"
        assert all(version in asked.specifier for version in versions), asked
