"""The task that moves data to another engine: host after host, and prepared on all before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quaylab.secrets.credentials import Store
from tests.deploy.project import ENGINE, Project, fake, report, volume
from tests.deploy.test_engine import PODMAN_INFO

TASK, TO_PODMAN = "tasks/move_engine.py", "--data=container_engine=podman"
SMALL = "--data=minimum_disk_mb=8998"
ADDRESSES = {"quay": "192.168.254.10", "database": "192.168.254.11"}
VOLUMES = {
    "quay": {"quaylab-quay-storage": "quay-storage"},
    "database": {"quaylab-database": "postgresql-15-c9s"},
}


def _inventory(project: Project, hosts: dict[str, Any]) -> str:
    database = [hosts["database"]]
    return project.inventory(quay=[hosts["quay"]], database=database, redis=database)


def _deployed(project: Project) -> str:
    """Have a run make the credentials; return their fingerprint."""
    new = {name: fake(name, ssh_hostname=address) for name, address in ADDRESSES.items()}
    assert project.run("-y", _inventory(project, new), "tasks/images.py").code == 0
    return Store("quaylab", project.credentials.parent).load(environment={}).fingerprint


def _volumes(name: str, owner: str) -> list[str]:
    """Return the lines of a host's volumes in an engine's report."""
    labels = {"io.quaylab.credentials": owner, "io.quaylab.path": "", "io.quaylab.registry": "quay"}
    return [
        volume(each, {**labels, "io.quaylab.data": kind}) for each, kind in VOLUMES[name].items()
    ]


def _podman(*lines: str) -> list[str]:
    """Return the lines of a Podman that answers, and of what it has."""
    return ["engine podman", PODMAN_INFO, *lines]


@pytest.fixture
def inventory(project: Project) -> str:
    """Two hosts whose registry is in Docker's volumes."""
    owner = _deployed(project)
    hosts = {}
    for name, address in ADDRESSES.items():
        lines = [report(schema="v3.18.0", free="9000 /"), ENGINE, *_volumes(name, owner)]
        answers = {"podman info": PODMAN_INFO, "du -sk": f"{next(iter(VOLUMES[name]))} 2048"}
        hosts[name] = fake(name, "\n".join(lines), answers, ssh_hostname=address)
    return _inventory(project, hosts)


def test_one_host_after_the_other(project: Project, inventory: str) -> None:
    result = project.run("-y", "-vv", inventory, TASK, TO_PODMAN, SMALL)
    assert result.code == 0, result.output
    # The first host's services run again before the second is stopped.
    assert result.operations[-3:] == [
        "Move @fake/quay",
        "Move @fake/database",
        "Print the next command",
    ]
    for name in VOLUMES:
        commands = result.commands(name)
        parts = ("apt-get install", "podman volume create", "from=$(", "podman network create")
        steps = [next(at for at, each in enumerate(commands) if part in each) for part in parts]
        assert steps == sorted(steps)
    assert "Next:\n  pyinfra" in result.output


def test_the_plan_names_all_that_changes(project: Project, inventory: str) -> None:
    result = project.run("--dry", "--json", inventory, TASK, TO_PODMAN, SMALL)
    assert result.code == 0, result.output
    operations = json.loads(result.stdout)["plan"]
    changing = [
        each["name"].rpartition(" | ")[2] for each in operations if each["hosts_with_change"]
    ]
    assert changing == [
        "Install the other engine, and check it",
        "Copy the images to it",
        "Move @fake/quay",
        "Move @fake/database",
    ]


def test_too_little_space_is_refused_before_anything_is_changed(
    project: Project, inventory: str
) -> None:
    result = project.run("-y", "-vv", inventory, TASK, TO_PODMAN, "--data=minimum_disk_mb=8999")
    assert result.code == 1
    assert result.output.count("9000 MB free on /, and Podman needs 2 MB there for the copy") == 2
    assert result.operations == []


def test_without_the_setting_it_is_refused(project: Project, inventory: str) -> None:
    result = project.run("-y", "-vv", inventory, TASK)
    assert result.code == 1
    (line,) = [each for each in result.output.splitlines() if each.startswith("  - ")]
    assert "container_engine: not set; set it to the engine to move to" in line
    assert result.operations == []


def test_a_deploy_names_the_task(project: Project, inventory: str) -> None:
    result = project.run("-y", inventory, "deploy.py", TO_PODMAN)
    assert result.code == 1
    assert "quaylab-database in Docker, and this run uses Podman" in result.output
    assert f"or move the data first: {TASK}" in result.output


def test_a_copy_that_fails_leaves_a_way_back_for_hosts_of_both_engines(project: Project) -> None:
    """The message names a deploy without the setting: each host's note decides."""
    owner, hosts = _deployed(project), {}
    for name, note in (("quay", "podman 2026-11-01T00:00:00+00:00"), ("database", "docker")):
        there = _volumes(name, owner)
        lines = [report(schema="v3.18.0", engine_note=note), ENGINE, *there, *_podman(*there)]
        answers = {"podman info": PODMAN_INFO}
        hosts[name] = fake(name, "\n".join(lines), answers, ssh_hostname=ADDRESSES[name])
    inventory, parts = _inventory(project, hosts), project.deploy_file(["engine", "redis"])
    result = project.run("-y", "-vv", inventory, parts)
    assert result.code == 0, result.output
    assert any("docker run " in each for each in result.commands("database"))
    refused = project.run("-y", inventory, parts, "--data=container_engine=docker")
    assert "the data of @fake/quay is in Podman" in refused.output


PURGES = {
    "purge_engine": "tasks/purge_engine.py --data=purge_engine=docker",
    "teardown": "tasks/teardown.py --data=purge=quay.quaylab.lan",
}


def _without_docker(project: Project) -> str:
    """Two hosts whose registry was moved to Podman, and whose Docker was removed since."""
    owner = _deployed(project)
    hosts = {}
    for name, address in ADDRESSES.items():
        moved = report(schema="v3.18.0", engine_note="podman 2026-11-01T00:00:00+00:00")
        lines = [moved, *_podman(*_volumes(name, owner))]
        hosts[name] = fake(name, "\n".join(lines), ssh_hostname=address)
    return _inventory(project, hosts)


@pytest.mark.parametrize("purge", PURGES)
def test_a_purge_is_refused_while_the_former_engine_is_not_installed(
    project: Project, purge: str
) -> None:
    result = project.run("-y", "-vv", _without_docker(project), *PURGES[purge].split())
    assert result.code == 1
    assert result.output.count("Docker, whose volumes would stay, is not installed") == 2
    assert result.operations == []
    assert project.credentials.exists()


def test_a_teardown_without_purge_does_not_ask_the_former_engine(project: Project) -> None:
    result = project.run("-y", _without_docker(project), "tasks/teardown.py")
    assert result.code == 0, result.output
