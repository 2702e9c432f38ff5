"""Runs that are killed in any operation: the next one, started at once, continues from there."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.machine import engines
from tests.machine.deployment import HOSTNAME, Deployment
from tests.machine.machines import ImageName, Machine, MachineFactory, Operator
from tests.machine.observed import IMAGE_OF, end_state, rows
from tests.machine.running import kill_in

# The operations of a first run that change something where engine and images exist, in order.
FIRST_RUN = (
    "tasks/object_storage.py | Save the credentials",
    "tasks/engine.py | Record which registry the host serves",
    "tasks/engine.py | Trust the registry's CA",
    "tasks/engine.py | Resolve the registry's name",
    "tasks/images.py | Get the images",
    "tasks/database.py | Write the database's files",
    "tasks/database.py | Run the database",
    "tasks/database.py | Prepare Quay's database",
    "tasks/redis.py | Write Redis' environment",
    "tasks/redis.py | Run Redis",
    "tasks/quay.py | Write Quay's bundle",
    "tasks/quay.py | Migrate the database's schema",
    "tasks/quay.py | Record where the data is, and the schema's version",
    "tasks/quay.py | Run Quay",
    "tasks/quay.py | Create the superuser",
    "tasks/verify.py | Verify: log in, push, pull, delete",
)
pytestmark = [engines.FOR_BOTH, pytest.mark.long_with_podman]
REPLACING = tuple(each for each in FIRST_RUN if " | Run " in each)
# Seconds: from before an operation's first command to after its last.
LONGEST = 0.8


@dataclass(frozen=True)
class Lab:
    """A registry on one machine, deployed again and again with the same credentials."""

    deployment: Deployment
    machine: Machine
    # With a fixed seed, so that a kill that reveals a defect can be repeated.
    moments: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311

    def kill_in(self, operation: str) -> None:
        kill_in(self.deployment, operation, after=self.moments.uniform(0, LONGEST))

    def complete(self) -> dict[str, object]:
        """Run once to the end, assert that nothing is left to do, and return the state."""
        self.deployment.run().check()
        assert self.deployment.run().changed() == []
        return end_state(self.machine)

    def scrap(self) -> None:
        """Remove all that runs have made except the credentials; with other credentials the
        states would differ."""
        store = self.deployment.store
        saved = store.load(environment={})
        self.deployment.run("tasks/teardown.py", "--data", f"purge={HOSTNAME}").check()
        store.save(saved)


@pytest.fixture(scope="module")
def lab(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    engine: ImageName,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Lab]:
    machine = engines.machine(machine_factory, "killed", engine, images)
    groups = {part: [machine] for part in IMAGE_OF}
    chosen = engines.settings(engine)
    deployment = Deployment.of(operator, tmp_path_factory.mktemp("kills"), groups, **chosen)
    yield Lab(deployment, machine)
    deployment.forget()
    machine.destroy()


@pytest.fixture(scope="module")
def chained(lab: Lab) -> dict[str, object]:
    """The state after a kill in each operation in turn; each run continues from the last one."""
    _leave_half_written_files(lab)
    for operation in FIRST_RUN:
        lab.kill_in(operation)
    return lab.complete()


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, chained: dict[str, object]) -> dict[str, object]:
    lab.scrap()
    changed = lab.deployment.changed()
    assert changed == list(FIRST_RUN[1:]), "all except the credentials, which exist"
    return end_state(lab.machine)


def test_chain_of_kills_ends_as_an_undisturbed_run(
    chained: dict[str, object], undisturbed: dict[str, object]
) -> None:
    assert chained == undisturbed


def test_kills_while_every_container_is_replaced(lab: Lab, undisturbed: dict[str, object]) -> None:
    """Each one is stopped, removed and created again; the volumes keep their data."""
    data = rows(lab.machine)
    for operation in REPLACING:
        name = operation.rpartition(" ")[2].lower()
        client = lab.machine.engine
        if client == "docker":
            lab.machine.run("docker ps -q | xargs docker update --restart=no")
        lab.machine.run(f"{client} network disconnect quaylab quaylab-{name}")
        lab.kill_in(operation)
    assert lab.complete() == undisturbed
    assert rows(lab.machine) == data


# The chain has a kill in each operation as well.
@pytest.mark.long
@pytest.mark.parametrize("operation", FIRST_RUN)
def test_killed_from_scratch(lab: Lab, undisturbed: dict[str, object], operation: str) -> None:
    lab.scrap()
    lab.kill_in(operation)
    assert lab.complete() == undisturbed


# The state was compared with an undisturbed run's, which other files verify.
@pytest.mark.long
def test_hosts_pass_their_own_tests_after_the_kills(
    lab: Lab, undisturbed: dict[str, object]
) -> None:
    lab.deployment.verify()


def test_killed_while_the_engine_is_installed(
    machine_factory: MachineFactory,
    operator: Operator,
    engine: ImageName,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """apt-get continues without the run, and still holds its locks when the next one starts."""
    machine = machine_factory("half-installed", "bare")
    groups = {part: [machine] for part in IMAGE_OF}
    chosen = engines.settings(engine)
    lab = Deployment.of(operator, tmp_path_factory.mktemp("apt"), groups, **chosen)
    try:
        for process in ("apt-get", "dpkg"):
            lab.kill("tasks/engine.py", when=partial(_runs, machine, process))
        lab.run("tasks/engine.py").check()
        assert lab.run("tasks/engine.py").changed() == []
        assert machine.run("dpkg --audit").stdout == ""
        machine.run(f"{engine} info")
    finally:
        lab.forget()
        machine.destroy()


def _runs(machine: Machine, process: str) -> bool:
    return machine.run(f"pgrep -x {process}", check=False).returncode == 0


def _leave_half_written_files(lab: Lab) -> None:
    """Leave what a power cut leaves: incomplete files, under their temporary names."""
    lab.machine.run(
        "install -d -m 0700 /etc/quaylab && mkdir /etc/quaylab/quay /etc/quaylab/redis && cd "
        "/etc/quaylab && echo 'SERVER_HOSTNAME: q' >quay/config.yaml.new && "
        "echo 'REDIS_PASSWORD=h' >redis/environment.new && chmod 0666 */*.new && "
        "chown admin */*.new"
    )
    store = lab.deployment.store
    store.path.parent.mkdir(mode=0o700, exist_ok=True)
    store.path.with_suffix(".yaml.new").write_text("identity: h")
