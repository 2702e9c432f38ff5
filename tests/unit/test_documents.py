"""The documents: short, linked, and about files, anchors and verbs that exist; and the settings of
tools that repeat each other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.samples import ROOT

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(path for folder in ("bench", "docs") for path in sorted((ROOT / folder).rglob("*.md"))),
]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
CODE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
VERB = re.compile(r"\./lab ([a-z]+)")
PIN = re.compile(r"^[a-zA-Z0-9_.-]+==")


def _links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the target and the anchor of each link within the project."""
    for link in LINK.findall(CODE.sub("", page.read_text())):
        if "://" not in link and not link.startswith("mailto:"):
            target, _, anchor = link.partition("#")
            yield (page.parent / target).resolve() if target else page, anchor


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    found: set[str] = set()
    for heading in HEADING.findall(CODE.sub("", page.read_text())):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = base = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while anchor in found:
            number += 1
            anchor = f"{base}-{number}"
        found.add(anchor)
    return found


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=_name)
def test_a_page_is_linked_from_another(page: Path) -> None:
    others = (other for other in PAGES if other != page)
    assert any(target == page for other in others for target, _ in _links(other))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _links(page):
        assert target.exists(), target
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), f"{target}#{anchor}"


def _verbs() -> set[str]:
    """Return the verbs in the launcher's help."""
    done = subprocess.run(
        ["bash", ROOT / "lab", "help"], capture_output=True, text=True, check=True, timeout=30
    )
    return set(re.findall(r"^  ([a-z]+) ", done.stdout, re.MULTILINE))


def test_the_launchers_help_lists_every_verb() -> None:
    text = (ROOT / "lab").read_text().rpartition("\ncase $verb in\n")[2]
    handled = {
        word
        for words in re.findall(r"^    ([a-z |'-]+)\)", text, re.MULTILINE)
        for word in re.findall("[a-z]+", words)
    }
    assert _verbs() == handled - {"help", "h"}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_verb_in_a_document_exists(page: Path) -> None:
    assert set(VERB.findall(page.read_text())) <= _verbs()


@pytest.mark.parametrize("lock", ["requirements.lock", "tests/requirements.lock"])
def test_every_pin_has_a_hash(lock: str) -> None:
    """pip then refuses a package that was exchanged."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(pins) > 10
    for pin in pins:
        assert PIN.match(pin), pin
        assert "--hash=sha256:" in pin, pin


def test_the_hooks_are_the_checks_of_the_launcher() -> None:
    read = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook["entry"] for repository in read["repos"] for hook in repository["hooks"]]
    steps = re.findall(
        r"^ +step [^.]*(\.venv/bin/python -m (?:ruff|mypy).*)$",
        (ROOT / "lab").read_text(),
        re.MULTILINE,
    )
    assert hooks == [*steps, "./lab test tests/unit tests/deploy"]
    assert len(steps) == 3
