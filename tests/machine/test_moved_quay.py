"""Quay moves to another host, with its blobs in a volume: not without them, then by the steps of
docs/several-hosts.md."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator, wait_until
from tests.machine.registry_client import RegistryClient

pytestmark = [engines.FOR_BOTH, pytest.mark.long]
VOLUME = "quaylab-quay-storage"
NOTES = "ls /var/lib/quaylab"


@pytest.fixture(scope="module")
def machines(
    machine_factory: MachineFactory, engine: ImageName, images: dict[str, str]
) -> Iterator[list[Machine]]:
    made = [engines.machine(machine_factory, name, engine, images) for name in ("former", "new")]
    yield made
    for machine in made:
        machine.destroy()


@pytest.fixture(scope="module")
def former(machines: list[Machine]) -> Machine:
    """The host that has everything at first, and keeps database and Redis."""
    return machines[0]


@pytest.fixture(scope="module")
def new(machines: list[Machine]) -> Machine:
    return machines[1]


@pytest.fixture(scope="module")
def lab(
    former: Machine,
    new: Machine,
    engine: ImageName,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """The registry whose inventory says that Quay is on the new host, after a run that did not."""
    folder = tmp_path_factory.mktemp("moved-quay")
    groups = {part: [former] for part in ("database", "redis", "quay")}
    chosen = engines.settings(engine)
    Deployment.of(operator, folder, groups, **chosen).run().check()
    lab = Deployment.of(operator, folder, {**groups, "quay": [new]}, **chosen)
    yield lab
    lab.forget()


@pytest.fixture(scope="module")
def client(
    lab: Deployment, former: Machine, machine_factory: MachineFactory
) -> Iterator[RegistryClient]:
    machine = machine_factory("client", "stocked")
    client = RegistryClient(machine, HOSTNAME)
    client.know(former.address)
    client.trust(lab.ca)
    assert client.login(ADMIN, lab.password).returncode == 0
    yield client
    machine.destroy()


@pytest.fixture(scope="module")
def pushed(client: RegistryClient, images: dict[str, str]) -> str:
    """The id of the image that was pushed before."""
    client.push(images["redis"], f"{ADMIN}/redis:1")
    return client.pull(f"{ADMIN}/redis:1")


def test_quay_moves_with_its_blobs_and_not_without_them(
    lab: Deployment, client: RegistryClient, former: Machine, new: Machine, pushed: str
) -> None:
    refused = lab.run()
    assert refused.returncode != 0
    assert f"volume {VOLUME} is not on {new.name}" in refused.output
    assert f"it is on {former.name}: put that host into the group `quay` again" in refused.output
    assert client.pull(f"{ADMIN}/redis:1") == pushed, "the former host serves still"

    former.run(engines.stop(former.engine, "quaylab-quay"))
    made = re.search(rf"from a backup: ({new.engine} volume create .*{VOLUME})", refused.output)
    assert made
    new.run(made[1])
    _copy_volume(former, new)
    notes_removed = ("tasks/quay.py | Remove the notes of Quay's former hosts", former.name)
    assert notes_removed in lab.run().changed()
    client.machine.run(f"sed '/ {HOSTNAME}$/d' /etc/hosts >hosts; cp hosts /etc/hosts")
    client.know(new.address)
    wait_until(
        lambda: client.login(ADMIN, lab.password).returncode == 0, "the client finds the new host"
    )
    assert client.pull(f"{ADMIN}/redis:1") == pushed
    assert lab.changed() == []


def test_the_former_host_keeps_the_volume_alone(former: Machine, pushed: str) -> None:
    assert "quaylab-quay" not in former.run(f"{former.engine} ps -a --format {{{{.Names}}}}").stdout
    assert not {"storage", "schema"} & set(former.run(NOTES).stdout.split())
    assert former.run(f"{former.engine} volume inspect {VOLUME}")


def _copy_volume(source: Machine, target: Machine) -> None:
    """Copy what is in the volume, as `rsync --archive --numeric-ids` does."""
    inspect = f"volume inspect --format '{{{{.Mountpoint}}}}' {VOLUME}"
    packed = source.run(
        f"tar --numeric-owner -C $({source.engine} {inspect}) -c . | base64", timeout=120
    ).stdout
    target.run(
        f"base64 --decode | tar --numeric-owner -C $({target.engine} {inspect}) -x", input=packed
    )
