"""Fixtures of the ha tier: three machines that play every part together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.ha.cluster import Cluster
from tests.ha.load import Counts, Load
from tests.machine import engines
from tests.machine.conftest import images, machine_factory, operator
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator
from tests.machine.s3_store import ENVIRONMENT, Store, s3_store

__all__ = ["images", "machine_factory", "operator"]

NAMES = ("one", "two", "three")


# The packaged images that a machine with Podman gets beforehand.
NEEDED = ("patroni", "postgresql", "etcd", "redis", "haproxy", "quay", "quay-before")


@pytest.fixture(
    scope="session",
    params=["docker", pytest.param("podman", marks=[pytest.mark.podman, pytest.mark.long])],
)
def engine(request: pytest.FixtureRequest) -> ImageName:
    """The engine of all machines; with --all everything runs for both."""
    name: ImageName = request.param
    return name


@pytest.fixture(scope="session")
def machines(
    machine_factory: MachineFactory, engine: ImageName, images: dict[str, str]
) -> Iterator[list[Machine]]:
    machines = machine_factory.together(
        NAMES, lambda name: engines.machine(machine_factory, name, engine, images, NEEDED)
    )
    yield machines
    for machine in machines:
        machine.destroy()


@pytest.fixture(scope="session")
def store(machines: list[Machine], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with s3_store(machines[0], tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="session")
def address(machines: list[Machine]) -> str:
    """A free address in the machines' network."""
    network, _, _ = machines[0].address.rpartition(".")
    return f"{network}.250"


@dataclass(frozen=True)
class Growth:
    """What clients saw of a registry before and while it grew from one machine to three."""

    before: Counts
    during: Counts
    lost: list[str]


@pytest.fixture(scope="session")
def growth(
    machines: list[Machine],
    store: Store,
    address: str,
    operator: Operator,
    engine: ImageName,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch_session: pytest.MonkeyPatch,
) -> Iterator[tuple[Deployment, Growth]]:
    """A registry on one machine, which then grows to three that play every part."""
    for name, value in ENVIRONMENT.items():
        monkeypatch_session.setenv(name, value)
    settings = {
        "quay_version": "v3.15.1",
        "quay_workers": 1,
        "minimum_memory_mb": 512,
        **store.settings,
        "storage_proxy": True,
        **engines.settings(engine),
    }
    folder = tmp_path_factory.mktemp("ha")
    groups = dict.fromkeys(("quay", "database", "redis"), machines[:1])
    lab = Deployment.of(operator, folder, groups, **settings)
    lab.run().check()
    load = Load(machines[0].address, HOSTNAME, lab.ca, ADMIN, lab.password)
    with load.running() as before:
        load.await_pull()
    groups = dict.fromkeys(("balancer", "quay", "database", "redis"), machines)
    lab = Deployment.of(operator, folder, groups, **settings, virtual_address=address)
    with load.running() as during:
        lab.run().check()
    yield lab, Growth(before, during, load.lost(before) + load.lost(during))
    lab.forget()


@pytest.fixture(scope="session")
def deployed(growth: tuple[Deployment, Growth]) -> Deployment:
    """The registry on three machines."""
    return growth[0]


@pytest.fixture(scope="session")
def upgraded(deployed: Deployment) -> Deployment:
    """The lab with the newest Quay, also where the test of the upgrade was not selected."""
    settings = deployed.inventory.parent / "group_data" / "all.py"
    settings.write_text(settings.read_text().replace("v3.15.1", "v3.18.0"))
    deployed.run().check()
    return deployed


@pytest.fixture(scope="session")
def monkeypatch_session() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def load(deployed: Deployment, address: str) -> Load:
    """Clients at the virtual address."""
    return Load(address, HOSTNAME, deployed.ca, ADMIN, deployed.password)


@pytest.fixture
def cluster(machines: list[Machine], deployed: Deployment) -> Cluster:
    """The database's cluster, once all of its members are well."""
    cluster = Cluster(machines)
    cluster.await_whole()
    return cluster
