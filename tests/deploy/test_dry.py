"""`--dry` on a host without any tool: every task alone, and deploy.py."""

from __future__ import annotations

import pytest

from quaylab.secrets.credentials import Store, generate
from tests.deploy.project import ROOT, Project, fake

ONE = [fake("quay")]
TASKS = sorted(
    f"tasks/{path.name}"
    for path in (ROOT / "tasks").glob("*.py")
    # These want a registry, a dump, a cluster, another store, and another engine: see
    # test_upgrade.py, test_cluster.py, test_move_blobs.py and test_move_engine.py.
    if path.stem
    not in (
        *("restore_database", "dump_database", "forget_member"),
        *("move_blobs", "move_engine", "purge_engine"),
    )
    # Tested in tests/openshift.
    and "openshift" not in path.stem
)
OF_CLUSTERS = sorted(f"tasks/{path.name}" for path in (ROOT / "tasks").glob("*openshift*.py"))


def _inventory(project: Project) -> str:
    return project.inventory(quay=ONE, database=ONE, redis=ONE)


@pytest.mark.parametrize("task", [*TASKS, "deploy.py"])
def test_dry_run_of(project: Project, task: str) -> None:
    store = Store("quaylab", project.credentials.parent)
    store.path.parent.mkdir()
    store.save(generate())
    before = store.path.read_bytes()
    result = project.run("--dry", _inventory(project), task)
    assert result.code == 0, result.output
    assert "Error" not in result.output
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("task", OF_CLUSTERS)
def test_a_task_of_clusters_is_refused_on_machines(project: Project, task: str) -> None:
    result = project.run("--dry", _inventory(project), task)
    assert result.code != 0
    assert "openshift: no host in group `openshift`" in result.output
    assert "Traceback" not in result.output


def test_first_dry_run_saves_no_credentials(project: Project) -> None:
    assert project.run("--dry", _inventory(project), "deploy.py").code == 0
    assert not project.credentials.parent.exists(), "not even a lock is written"


def test_status_saves_and_locks_nothing(project: Project) -> None:
    """Not even credentials that a deploy would have to save first."""
    lock = Store("quaylab", project.credentials.parent).lock()
    result = project.run("-y", _inventory(project), "tasks/status.py")
    assert "Quay         there is no container; ./lab up brings it back" in result.output
    assert "Save the credentials" not in result.output
    assert [each.suffix for each in project.credentials.parent.iterdir()] == [".lock"], lock


def test_dry_run_neither_waits_for_a_run_nor_blocks_one(project: Project) -> None:
    Store("quaylab", project.credentials.parent).lock()
    assert project.run("--dry", _inventory(project), "deploy.py").code == 0


def test_dry_run_lists_what_is_missing(project: Project) -> None:
    result = project.run("--dry", "--json", _inventory(project), "deploy.py")
    names = result.plan
    order = [
        "Save the credentials",
        "Run the database",
        "Run Redis",
        "Run Quay",
        "Create the superuser",
    ]
    positions = [names.index(name) for name in order]
    assert positions == sorted(positions)
    assert "Print the summary" not in names


@pytest.mark.parametrize("package", ["facts", "operations", "quaylab"])
def test_generic_names_are_the_projects_own(project: Project, package: str) -> None:
    """pyinfra appends the working directory to sys.path: an installed package would come first."""
    script = project.path / "where.py"
    script.write_text(f"import {package}\nprint('found', *{package}.__path__)\n")
    result = project.run("-y", "@fake/quay", str(script))
    assert result.code == 0, result.output
    assert f"found {project.path / package}" in result.output
