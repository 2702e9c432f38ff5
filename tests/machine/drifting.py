"""A registry on one machine that somebody changes by hand, and what a run then repairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator
from tests.machine.observed import IMAGE_OF, containers, rows
from tests.machine.registry_client import RegistryClient

SAVE = "tasks/object_storage.py | Save the credentials"
START = "tasks/engine.py | Start the container engine"
RESTART = "tasks/engine.py | Restart the container engine"
TRUST = "tasks/engine.py | Trust the registry's CA"
NAME = "tasks/engine.py | Resolve the registry's name"
IMAGES = "tasks/images.py | Get the images"
DATABASE_FILES = "tasks/database.py | Write the database's files"
DATABASE = "tasks/database.py | Run the database"
PREPARE = "tasks/database.py | Prepare Quay's database"
REDIS_IMAGE = "tasks/redis.py | Get Redis' image"
REDIS_FILES = "tasks/redis.py | Write Redis' environment"
REDIS = "tasks/redis.py | Run Redis"
BUNDLE = "tasks/quay.py | Write Quay's bundle"
QUAY = "tasks/quay.py | Run Quay"
VERIFY = "tasks/verify.py | Verify: log in, push, pull, delete"
EVERY_CONTAINER = ("quaylab-database", "quaylab-redis", "quaylab-quay")
# A replaced Quay is verified.
REPLACED_QUAY = (QUAY, VERIFY)

PUSHED = f"{ADMIN}/redis:kept"


@dataclass(frozen=True)
class Registry:
    """A registry on one machine, and an image that a client pushed before any drift."""

    lab: Deployment
    machine: Machine
    client: RegistryClient
    image: str

    def planned(self) -> list[str]:
        return [name for name, _ in self.lab.run("deploy.py", "--dry").planned()]


@contextmanager
def deployed(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    folder: Path,
    engine: ImageName,
) -> Iterator[Registry]:
    """Deploy a registry to a machine of its own with this engine, and push an image to it."""
    machine = engines.machine(machine_factory, "drifting", engine, images)
    other = machine_factory("drift-client", "stocked")
    groups = {part: [machine] for part in IMAGE_OF}
    lab = Deployment.of(operator, folder, groups, **engines.settings(engine))
    lab.run().check()
    client = RegistryClient(other, HOSTNAME)
    client.know(machine.address)
    client.trust(lab.ca)
    assert client.login(ADMIN, lab.password).returncode == 0
    client.push(images["redis"], PUSHED)
    yield Registry(lab, machine, client, client.pull(PUSHED))
    lab.forget()
    machine.destroy()
    other.destroy()


# The fixture `deployed`: it takes the engine.
Deployed = Callable[[ImageName], AbstractContextManager[Registry]]
Change = Callable[[Machine], None]


def shell(*commands: str) -> Change:
    """Return a change that runs commands."""

    def make(machine: Machine) -> None:
        for command in commands:
            machine.run(command)

    return make


def all_of(*changes: Change) -> Change:
    def make(machine: Machine) -> None:
        for change in changes:
            change(machine)

    return make


@dataclass(frozen=True)
class Drift:
    """A manual change, the operations that repair it, and the containers that they replace or
    restart; the others keep running."""

    change: Change
    repaired: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    # The states and differences of the row before, each of another service: one function without a
    # branch on the service decides what to do, and tests/unit has every case of it.
    long: bool = False


def assert_repaired(registry: Registry, drift: Drift) -> None:
    """Make a change; assert that a run repairs just it, and that nobody lost anything.

    The dry run names nothing else, so the drift before was repaired as well.
    """
    data, before = rows(registry.machine), containers(registry.machine)
    drift.change(registry.machine)
    assert registry.planned() == list(drift.repaired)
    assert registry.lab.changed() == list(drift.repaired)
    assert registry.client.pull(PUSHED) == registry.image
    assert rows(registry.machine) == data
    after = containers(registry.machine)
    replaced = {name for name in after if after[name]["Id"] != before[name]["Id"]}
    assert replaced == {*drift.replaced}
    again = {name for name in after if started(after[name]) != started(before[name])}
    assert again == {*drift.replaced, *drift.restarted}


def starts(machine: Machine) -> dict[str, tuple[str, str]]:
    """Return each container's id and start time, by name."""
    return {name: (each["Id"], started(each)) for name, each in containers(machine).items()}


def started(container: dict[str, Any]) -> str:
    return str(container["State"]["StartedAt"])
