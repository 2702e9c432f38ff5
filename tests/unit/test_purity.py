"""The core is pure: it opens no connection, and imports neither pyinfra nor client libraries."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import quaylab
from quaylab.paths import ROOT

CLIENTS = ("boto3", "botocore", "docker", "libvirt", "paramiko", "psycopg2", "pymysql", "redis")
CONNECTING = (*CLIENTS, "gevent", "pyinfra", "requests", "urllib3")
CORE = [
    module.name
    for module in pkgutil.walk_packages(quaylab.__path__, "quaylab.")
    if not module.name.startswith("quaylab.clients")
]
# A Docker command, at the beginning of a text or after what can stand before a command.
DOCKER_COMMAND = re.compile(
    r"""(^|["'(;&|]|\bthen|\belse|\bdo) *docker (ps|inspect|exec|run|rm|volume|network|image"""
    r"""|info|stop|start|logs|pull|load|build|create|wait|update|version)\b"""
)


def test_the_core_loads_nothing_that_connects() -> None:
    loaded = f"sorted(set(sys.modules) & {set(CONNECTING)})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {', '.join(CORE)}; print({loaded})"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "[]"


def test_the_core_uses_no_client() -> None:
    for name in CORE:
        path = ROOT.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        assert "quaylab.clients" not in file.read_text(), file


def test_defaults_load_no_more_than_they_need() -> None:
    others = set(CONNECTING) - {"paramiko"} | {"pydantic", "quaylab.plan", "quaylab.services"}
    loaded = f"sorted(set(sys.modules) & {others})"
    script = f"import runpy, sys; runpy.run_path('group_data/all.py'); print({loaded})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["quaylab", "operations", "facts", "tasks"])
def test_docker_commands_are_in_one_module(folder: str) -> None:
    engine = ROOT / "quaylab" / "engines" / "docker.py"
    for path in (ROOT / folder).rglob("*.py"):
        if path != engine:
            lines = [line for line in path.read_text().splitlines() if DOCKER_COMMAND.search(line)]
            assert _commands(lines) == [], path


def _commands(lines: list[str]) -> list[str]:
    """Return the lines without those that are advice in an error message."""
    return [line for line in lines if not re.search(r"\(docker|: docker|see: docker", line)]


def test_layers_use_those_below_them_only() -> None:
    above = {
        "quaylab": ("facts", "operations", "tasks"),
        "facts": ("operations", "tasks"),
        "operations": ("tasks",),
    }
    for folder, others in above.items():
        pattern = re.compile(rf"^\s*(from|import) ({'|'.join(others)})\b", re.MULTILINE)
        for path in Path(ROOT, folder).rglob("*.py"):
            assert not pattern.search(path.read_text()), path
