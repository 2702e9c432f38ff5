"""Blobs go from the volume on Quay's host to an S3 store, while Quay serves; runs are killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.leaks import leaked
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import Machine, MachineFactory, Operator
from tests.machine.registry_client import RegistryClient
from tests.machine.s3_store import ENVIRONMENT, KEYS, Store, s3_store

TASK = "tasks/move_blobs.py"
VOLUME = "/var/lib/docker/volumes/quaylab-quay-storage/_data/registry"
NOTE = "cat /var/lib/quaylab/storage"
# So that there is time for a kill: blobs in the layout of Quay itself.
MANY = f"""
import hashlib, os
for number in range(200):
    content = bytes([number % 256]) * 100_000 + number.to_bytes(2, "big")
    name = hashlib.sha256(content).hexdigest()
    folder = f"{VOLUME}/sha256/{{name[:2]}}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{{folder}}/{{name}}", "wb") as file:
        file.write(content)
"""


@pytest.fixture(scope="module")
def machine(machine_factory: MachineFactory) -> Iterator[Machine]:
    machine = machine_factory("moving", "stocked")
    yield machine
    machine.destroy()


@pytest.fixture(scope="module")
def store(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3_store(machine, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def lab(
    machine: Machine, operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A registry with its blobs in a volume."""
    groups = {part: [machine] for part in ("database", "redis", "quay")}
    lab = Deployment.of(operator, tmp_path_factory.mktemp("moving"), groups)
    lab.run().check()
    machine.run("python3 -", input=MANY)
    machine.run(f"mkdir {VOLUME}/uploads; echo half >{VOLUME}/uploads/0f8b")
    machine.run(f"mkdir {VOLUME}/userfiles; echo sent >'{VOLUME}/userfiles/a file'")
    machine.run(f"chown -R 1001:0 {VOLUME}")
    yield lab
    lab.forget()


@pytest.fixture(scope="module")
def client(lab: Deployment, machine: Machine, store: Store) -> RegistryClient:
    client = RegistryClient(machine, HOSTNAME)
    # Clients fetch blobs from the store itself, so they must trust its CA.
    machine.run(f"cat >/etc/docker/certs.d/{HOSTNAME}/store.crt", input=store.ca.read_text())
    assert client.login(ADMIN, lab.password).returncode == 0
    return client


@pytest.fixture(scope="module")
def pushed(client: RegistryClient, images: dict[str, str]) -> dict[str, str]:
    """The ids of the images that were pushed, by name."""
    client.push(images["redis"], f"{ADMIN}/redis:1")
    return {"redis": client.pull(f"{ADMIN}/redis:1")}


@pytest.fixture(scope="module")
def to_store(store: Store) -> tuple[str, ...]:
    """The settings of the store, as arguments."""
    return tuple(
        word for key, value in store.settings.items() for word in ("--data", f"{key}={value}")
    )


@pytest.fixture(autouse=True, scope="module")
def _keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in ENVIRONMENT.items():
            environment.setenv(name, value)
        yield


def _all_are_pulled(client: RegistryClient, pushed: dict[str, str]) -> bool:
    client.machine.run("docker image prune --force")
    return {name: client.pull(f"{ADMIN}/{name}:1") for name in pushed} == pushed


def test_a_deploy_with_the_store_names_the_task(
    lab: Deployment, pushed: dict[str, str], to_store: tuple[str, ...]
) -> None:
    refused = lab.run("deploy.py", *to_store)
    assert refused.returncode != 0
    assert f"or move them there by {TASK}" in refused.output


def test_without_a_store_the_task_is_refused(lab: Deployment) -> None:
    refused = lab.run(TASK)
    assert refused.returncode != 0
    assert "storage: local; set storage" in refused.output


def test_a_dry_run_makes_nothing(
    lab: Deployment, to_store: tuple[str, ...], store: Store, machine: Machine
) -> None:
    result = lab.run(TASK, "--dry", *to_store)
    assert "quaylab-quay will be stopped: while the rest of the blobs is copied" in result.output
    planned = [name.rpartition(" | ")[2] for name, _ in result.planned()]
    assert planned == [
        "Create the bucket",
        "Copy the blobs while Quay serves",
        "Stop Quay",
        "Copy the rest, and see that all is there",
        "Record where the blobs are",
    ]
    assert store.client("s3").list_buckets()["Buckets"] == []


def test_killed_in_the_copy(
    lab: Deployment,
    to_store: tuple[str, ...],
    machine: Machine,
    store: Store,
    client: RegistryClient,
    pushed: dict[str, str],
    images: dict[str, str],
) -> None:
    seen: list[str] = []

    def half_of_it() -> bool:
        look = "docker inspect quaylab-copy-blobs; ps axww -o args"
        seen.append(machine.run(look, check=False).stdout)
        made = store.client("s3").list_buckets()["Buckets"]
        return bool(made) and len(store.objects()) > 30

    lab.kill(TASK, *to_store, when=half_of_it)
    assert any('"-c"' in each for each in seen), "the container was seen"
    assert not [key for key, value in KEYS.items() if any(value in each for each in seen)]
    assert lab.run().changed() == [], "with the former settings"
    assert _all_are_pulled(client, pushed)
    client.push(images["postgresql"], f"{ADMIN}/postgresql:1")
    pushed["postgresql"] = client.pull(f"{ADMIN}/postgresql:1")


def test_a_damaged_blob_stops_it_while_quay_serves(
    lab: Deployment,
    to_store: tuple[str, ...],
    machine: Machine,
    client: RegistryClient,
    pushed: dict[str, str],
) -> None:
    damaged = f"sha256/00/{'0' * 64}"
    machine.run(f"mkdir -p {VOLUME}/sha256/00; echo damaged >{VOLUME}/{damaged}")
    failed = lab.run(TASK, *to_store)
    assert failed.returncode != 0
    assert f"{damaged}: damaged in the volume" in failed.output
    assert "Quay still serves. Repair the cause, and run this again" in failed.output
    machine.run(f"rm {VOLUME}/{damaged}")
    assert machine.run(NOTE).stdout.endswith(" default local\n")
    assert _all_are_pulled(client, pushed)


def test_killed_while_quay_is_stopped(
    lab: Deployment,
    to_store: tuple[str, ...],
    machine: Machine,
    client: RegistryClient,
    pushed: dict[str, str],
) -> None:
    """A deploy with the former settings brings Quay back, and it has all that was pushed."""
    names = "docker ps --all --format '{{.Names}}'"
    lab.kill(TASK, *to_store, when=lambda: "quaylab-quay" not in machine.run(names).stdout.split())
    lab.run().check()
    assert machine.run(NOTE).stdout.endswith(" default local\n")
    assert _all_are_pulled(client, pushed)


def test_the_blobs_are_moved(
    lab: Deployment,
    to_store: tuple[str, ...],
    machine: Machine,
    store: Store,
    pushed: dict[str, str],
) -> None:
    result = lab.run(TASK, "-vvv", "--diff", *to_store).check()
    assert leaked(lab.secrets, result.output) == []
    assert "are in the store and verified" in result.output
    assert "The blobs are in the store, and Quay is stopped. Next:\n  pyinfra " in result.output
    assert " default s3 " in machine.run(NOTE).stdout
    assert machine.run("ls /var/lib/quaylab").stdout.split().count("copied-blobs") == 0
    listed = machine.run(f"cd {VOLUME}; find . -type f -not -path './uploads/*'").stdout
    names = {line.removeprefix("./") for line in listed.splitlines()}
    paginator = store.client("s3").get_paginator("list_objects_v2")
    pages = list(paginator.paginate(Bucket="quay-storage"))
    there = {each["Key"] for page in pages for each in page["Contents"]}
    assert {f"datastorage/registry/{name}" for name in names} <= there
    assert not [key for key in there if key.startswith("datastorage/registry/uploads/")]


def test_quay_serves_from_the_store(
    lab: Deployment,
    to_store: tuple[str, ...],
    machine: Machine,
    client: RegistryClient,
    pushed: dict[str, str],
    images: dict[str, str],
) -> None:
    lab.run("deploy.py", *to_store).check()
    assert len(pushed) == 2
    # So that nothing comes from the volume.
    machine.run(f"mv {VOLUME} {VOLUME}.away")
    assert _all_are_pulled(client, pushed)
    client.push(images["quay"], f"{ADMIN}/quay:1")
    assert client.pull(f"{ADMIN}/quay:1")
    machine.run(f"mv {VOLUME}.away {VOLUME}")


def test_nothing_is_left_to_do(
    lab: Deployment, to_store: tuple[str, ...], machine: Machine
) -> None:
    assert lab.run("deploy.py", *to_store).changed() == []
    refused = lab.run(TASK, *to_store)
    assert refused.returncode != 0
    assert "already, so nothing is moved; run deploy.py" in refused.output
    refused = lab.run()
    assert refused.returncode != 0
    assert "storage: Quay's blobs are in 'default s3 " in refused.output


def test_the_volume_may_be_removed(
    lab: Deployment, to_store: tuple[str, ...], machine: Machine
) -> None:
    machine.run("docker volume rm quaylab-quay-storage")
    assert lab.run("deploy.py", *to_store).changed() == []
