"""A registry's data goes from Docker to Podman, with kills, and the way back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.drifting import DATABASE, PUSHED, QUAY, REDIS, VERIFY, Deployed, Registry
from tests.machine.machines import Machine, MachineFactory, Operator
from tests.machine.observed import IMAGE_OF, rows
from tests.machine.registry_client import RegistryClient

pytestmark = pytest.mark.podman
TASK, PURGE = "tasks/move_engine.py", "tasks/purge_engine.py"
TO_PODMAN = ("--data", "container_engine=podman")
TO_DOCKER = ("--data", "container_engine=docker")
NOTE = "/var/lib/quaylab/engine"
BLOBS = "volumes/quaylab-quay-storage/_data"
OLD_BLOBS, NEW_BLOBS = f"/var/lib/docker/{BLOBS}", f"/var/lib/containers/storage/{BLOBS}"
MOVING = [
    "Install the other engine, and check it",
    "Copy the images to it",
    "Move drifting",
]
# What a run leaves in an engine.
OURS = (
    "{engine} volume ls --quiet && {engine} ps --all --quiet && "
    "{engine} network ls --quiet --filter name=quaylab"
)


@pytest.fixture(scope="module")
def registry(deployed: Deployed) -> Iterator[Registry]:
    with deployed("docker") as registry:
        # As Docker does on a host where it has itself switched on forwarding.
        registry.machine.run("iptables --policy FORWARD DROP")
        # So that there is time for a kill; and what only a true copy keeps.
        registry.machine.run(
            f"cd {OLD_BLOBS} && head -c 300M /dev/urandom >large && ln -s large link && "
            "ln large 'another name' && chown -h 1001:7 link large && chmod 0604 large"
        )
        yield registry


def _shortly(names: list[tuple[str, str]]) -> list[str]:
    return [name.rpartition(" | ")[2] for name, _ in names]


def _with_podman(machine: Machine) -> Machine:
    return dataclasses.replace(machine, engine="podman")


def test_a_deploy_with_the_other_engine_names_the_task(registry: Registry) -> None:
    refused = registry.lab.run("deploy.py", *TO_PODMAN)
    assert refused.returncode != 0
    assert (
        f"in Docker, and this run uses Podman; set it to docker, or move the data first: {TASK}"
        in refused.output
    )


def test_a_dry_run_changes_nothing(registry: Registry) -> None:
    result = registry.lab.run(TASK, "--dry", *TO_PODMAN)
    assert "what runs on drifting will be stopped until its volumes are" in result.output
    assert _shortly(result.planned()) == MOVING
    assert registry.machine.run("command -v podman", check=False).returncode != 0
    assert registry.lab.changed() == []


@pytest.mark.long
def test_killed_in_the_copy_and_cut_off(registry: Registry) -> None:
    """Nothing has started again after the power is back, and no run takes half a copy for data."""
    machine = registry.machine
    registry.lab.kill(
        TASK,
        *TO_PODMAN,
        when=lambda: machine.run(f"ls {NEW_BLOBS}/*", check=False).returncode == 0,
        within=180,
    )
    machine.crash()
    assert machine.run("docker ps --quiet; podman ps --quiet").stdout == ""
    assert machine.run(f"cat {NOTE}").stdout == "docker\n"
    refused = registry.lab.run("deploy.py", *TO_PODMAN)
    assert "the data of drifting is in Docker (/var/lib/quaylab/engine there)" in refused.output


@pytest.mark.long
def test_the_way_back_after_a_failure(registry: Registry, images: dict[str, str]) -> None:
    registry.lab.run().check()
    assert registry.client.pull(PUSHED) == registry.image
    registry.client.push(images["redis"], f"{ADMIN}/redis:later")
    assert registry.lab.changed() == []


def test_the_next_run_completes_it(registry: Registry) -> None:
    machine, client = registry.machine, registry.client
    result = registry.lab.run(TASK, *TO_PODMAN).check()
    assert _shortly(result.changed())[-1:] == MOVING[-1:]
    assert "The data is in Podman, which runs everything. Next:\n  pyinfra " in result.output
    assert machine.run(f"cat {NOTE}").stdout.startswith("podman 20")
    assert client.pull(PUSHED) == registry.image
    seen = "stat --format '%U %G %a %h %s %F' large link && sha256sum large"
    before = machine.run(f"cd {OLD_BLOBS} && {seen}").stdout
    assert machine.run(f"cd {NEW_BLOBS} && {seen}").stdout == before
    assert "1001" in machine.run(f"stat --format %u {NEW_BLOBS}/link").stdout


def test_the_verification_is_left_to_the_deploy(registry: Registry) -> None:
    changed = _shortly(registry.lab.run("deploy.py", *TO_PODMAN).changed())
    assert changed == ["Trust the registry's CA", "Verify: log in, push, pull, delete"]
    assert registry.lab.run(TASK, *TO_PODMAN).changed() == []
    # Without the setting the note decides.
    assert registry.lab.changed() == []


def test_docker_has_kept_its_data_and_is_not_used_by_mistake(registry: Registry) -> None:
    machine = registry.machine
    refused = registry.lab.run("deploy.py", *TO_DOCKER)
    assert "the data of drifting is in Podman" in refused.output
    refused = registry.lab.run(TASK, *TO_DOCKER)
    assert "and nothing is overwritten; remove it: tasks/purge_engine.py" in refused.output
    refused = registry.lab.run(PURGE, *TO_PODMAN, "--data", "purge_engine=podman")
    assert "purge_engine: drifting uses Podman" in refused.output
    assert "quaylab-database" in machine.run("docker volume ls --quiet").stdout


@pytest.mark.long
def test_a_reboot_starts_only_what_podman_has(registry: Registry) -> None:
    registry.machine.reboot()
    assert registry.machine.run("docker ps --quiet").stdout == ""
    assert {*registry.lab.changed()} <= {DATABASE, REDIS, QUAY, VERIFY}


def test_what_docker_has_kept_is_removed_when_told(
    registry: Registry, images: dict[str, str]
) -> None:
    machine, data = registry.machine, rows(_with_podman(registry.machine))
    assert registry.lab.run(PURGE, "--data", "purge_engine=docker").changed()
    assert machine.run(OURS.format(engine="docker")).stdout == ""
    kept = machine.run("docker images --format '{{.Repository}}:{{.Tag}}'").stdout.split()
    assert not {images[each] for each in IMAGE_OF.values()} & {*kept}
    assert machine.run(f"test -e {NOTE}", check=False).returncode != 0
    assert registry.lab.changed() == []
    assert rows(_with_podman(machine)) == data
    assert registry.client.pull(PUSHED) == registry.image
    assert registry.lab.run(PURGE, "--data", "purge_engine=docker").changed() == []


@pytest.mark.long
def test_back_to_docker(registry: Registry) -> None:
    machine, data = registry.machine, rows(_with_podman(registry.machine))
    registry.lab.run(TASK, *TO_DOCKER).check()
    registry.lab.run("deploy.py", *TO_DOCKER).check()
    assert registry.lab.changed() == []
    assert rows(machine) == data
    assert registry.client.pull(PUSHED) == registry.image
    registry.lab.run(PURGE, "--data", "purge_engine=podman").check()
    assert machine.run(OURS.format(engine="podman")).stdout == ""
    registry.lab.verify()


@pytest.mark.long
def test_a_registry_on_two_hosts(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path: Path,
) -> None:
    """The database's host is moved last; Quay's goes on when both are."""
    front, back, other = (machine_factory(each, "stocked") for each in ("front", "back", "other"))
    lab = Deployment.of(operator, tmp_path, {"quay": [front], "database": [back], "redis": [back]})
    lab.run().check()
    client = RegistryClient(other, HOSTNAME)
    client.know(front.address)
    client.trust(lab.ca)
    assert client.login(ADMIN, lab.password).returncode == 0
    client.push(images["redis"], PUSHED)
    pushed, data = client.pull(PUSHED), rows(back)
    moved = [host for name, host in lab.run(TASK, *TO_PODMAN).changed() if "Move " in name]
    assert set(moved) == {"front", "back"}
    lab.run("deploy.py", *TO_PODMAN).check()
    assert lab.run().changed() == []
    assert rows(_with_podman(back)) == data
    assert client.pull(PUSHED) == pushed
    assert front.run("docker ps --quiet").stdout == back.run("docker ps --quiet").stdout == ""
    lab.run(PURGE, "--data", "purge_engine=docker").check()
    for machine in (front, back):
        assert machine.run(OURS.format(engine="docker")).stdout == ""
    assert lab.run().changed() == []
    lab.verify()
    lab.forget()
    for machine in (front, back, other):
        machine.destroy()
