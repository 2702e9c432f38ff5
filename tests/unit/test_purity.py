"""The core is pure: it opens no connection, and imports neither pyinfra nor client libraries."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import quaylab
from quaylab.paths import ROOT
from quaylab.services import BY_NAME

CLIENTS = ("boto3", "botocore", "docker", "libvirt", "paramiko", "psycopg2", "pymysql", "redis")
CONNECTING = (*CLIENTS, "gevent", "pyinfra", "requests", "urllib3")
CORE = [
    module.name
    for module in pkgutil.walk_packages(quaylab.__path__, "quaylab.")
    if not module.name.startswith("quaylab.clients")
]
FOLDERS = ("quaylab", "operations", "facts", "tasks")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
# `docker` or `podman` as a word, with the words after it, or at a text's end, where a command may
# go on.
CLIENT = re.compile(r"(?<![\w/-])(?:docker|podman)(?= [a-z]|\s*$)(?: [a-z]+)*")
# Words of every engine's client, after its name in a variable.
SUBCOMMAND = re.compile(r"\b(?:container|image|network|volume) (?:create|disconnect|inspect|rm)\b")
# The engines, and what asks one of them about its network's rules.
ENGINE_MODULES = {
    ROOT / "quaylab" / "engines" / name for name in ("docker.py", "quadlet.py", "podman_report.py")
} | {ROOT / "facts" / "podman.py", ROOT / "operations" / "engines" / "podman.py"}
# Texts for people that have such words.
CLIENT_IN_MESSAGES = {
    "operations/engines/images.py": ["docker save"],
    "operations/openshift/summary.py": ["docker login"],
    "quaylab/checks/given_files.py": ["docker save"],
    "quaylab/hosts/storage_problems.py": ["docker system prune"],
    "quaylab/services/quay.py": ["docker push and pull give up sooner"],
    "quaylab/settings/images.py": ["docker save"],
}
# Names of systemd's unit, of the distribution's package and of a volume group's part.
CLIENT_AS_A_NAME = {
    "quaylab/settings/hosts.py": ["docker", "docker or podman", "podman"],
    "quaylab/settings/actions.py": ["docker", "podman"],
    "operations/engines/docker.py": ["docker", "docker", "docker"],
    "operations/hosts/storage.py": ["docker"],
    "quaylab/hosts/storage.py": ["docker"],
}
# Comparisons with a service's name outside of quaylab/services/, each for a reason.
SERVICE_COMPARISONS = {
    # VMs don't exist yet, so there is no topology to ask: the inventory's groups say what will run.
    "operations/virtual/teardown.py": ["'database' in each.groups"],
    # A way to expose a registry in a cluster, by Kubernetes' object of that name.
    "quaylab/openshift/access.py": ["'ingress'"],
    "quaylab/openshift/refusals.py": ["settings.openshift_exposure == 'ingress'"],
}
# Words that say nothing in a name.
VAGUE = {"told", "ground", "lacks", "dialling", "house", "demand", "orders", "forms"}


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


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _texts(tree: ast.Module) -> Iterator[str]:
    """Yield all texts but documentation."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        is_documentation = id(node) in documentation
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not is_documentation:
            yield node.value


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_commands_of_an_engine_are_in_its_modules(path: Path) -> None:
    if path in ENGINE_MODULES:
        return
    name, tree = _name(path), ast.parse(path.read_text())
    found = sorted(words for text in _texts(tree) for words in CLIENT.findall(text))
    allowed = CLIENT_IN_MESSAGES.get(name, []) + CLIENT_AS_A_NAME.get(name, [])
    assert found == sorted(allowed)


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_commands_of_every_engine_are_in_their_package(path: Path) -> None:
    if path.parent != ROOT / "quaylab" / "engines":
        texts = _texts(ast.parse(path.read_text()))
        assert [text for text in texts if SUBCOMMAND.search(text)] == []


def test_the_allowed_places_exist() -> None:
    names = {_name(path) for path in SOURCES}
    assert names >= CLIENT_IN_MESSAGES.keys() | CLIENT_AS_A_NAME.keys() | SERVICE_COMPARISONS.keys()


def _service_comparisons(tree: ast.Module) -> Iterator[str]:
    """Yield comparisons with a service's name, or with a collection that has one, and cases."""
    for node in ast.walk(tree):
        compared: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        for each in compared:
            literals = each.elts if isinstance(each, ast.Tuple | ast.List | ast.Set) else [each]
            if any(isinstance(one, ast.Constant) and one.value in BY_NAME for one in literals):
                yield ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_branch_on_a_services_name_outside_of_the_services(path: Path) -> None:
    name = _name(path)
    if not name.startswith("quaylab/services/"):
        found = list(_service_comparisons(ast.parse(path.read_text())))
        assert found == SERVICE_COMPARISONS.get(name, [])


def _identifiers(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(found := getattr(node, field, None), str):
                yield found


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_vague_word_is_in_a_name(path: Path) -> None:
    found = set(_identifiers(ast.parse(path.read_text())))
    assert [name for name in found if VAGUE & set(name.lower().split("_"))] == []


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
