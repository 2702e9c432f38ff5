"""Database, Redis and Quay on three machines, deployed over SSH with sudo."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.leaks import leaked
from tests.machine import engines
from tests.machine.deployment import ADMIN, HOSTNAME, TASKS, Deployment
from tests.machine.machines import ImageName, MachineFactory, Operator, wait_until
from tests.machine.registry_client import RegistryClient
from tests.machine.watch import Watch

ALONE = ("engine", "quay", "verify")
pytestmark = [engines.FOR_BOTH, pytest.mark.long_with_podman]
PARTS = ("database", "redis", "quay")


@pytest.fixture(scope="module")
def lab(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    engine: ImageName,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    machines = {part: engines.machine(machine_factory, part, engine, images) for part in PARTS}
    groups = {part: [machine] for part, machine in machines.items()}
    chosen = engines.settings(engine)
    lab = Deployment.of(operator, tmp_path_factory.mktemp("three"), groups, **chosen)
    yield lab
    lab.forget()
    for machine in machines.values():
        machine.destroy()


@pytest.fixture(scope="module")
def deployed(lab: Deployment) -> Deployment:
    """The lab after its first run, which was watched for leaked secrets."""
    watches = [Watch(machine) for machine in lab.machines.values()]
    for watch in watches:
        watch.start()
    result = lab.run("deploy.py", "-vvv", "--diff").check()
    for watch in watches:
        watch.stop()
        watch.assert_no_secret(lab.secrets)
        watch.assert_narrow()
    assert leaked(lab.secrets, result.output) == [], "pyinfra's output at -vvv --diff"
    assert f"https://{HOSTNAME}" in result.stderr, "the summary"
    assert str(lab.store.path.relative_to(lab.store.path.parents[1])) in result.stderr
    return lab


@pytest.fixture(scope="module")
def client(deployed: Deployment, machine_factory: MachineFactory) -> Iterator[RegistryClient]:
    """A machine outside the lab that trusts its CA, and has an image to push."""
    machine = machine_factory("client", "stocked")
    client = RegistryClient(machine, HOSTNAME)
    client.know(deployed.machines["quay"].address)
    client.trust(deployed.ca)
    yield client
    machine.destroy()


def test_second_run_changes_nothing(deployed: Deployment) -> None:
    again = deployed.run()
    assert again.changed() == []
    assert len(again.unchanged()) > 15


def test_dry_run_plans_nothing(deployed: Deployment) -> None:
    assert deployed.run("deploy.py", "--dry").planned() == []


# The second run includes each task, and tests/deploy plans each alone.
@pytest.mark.parametrize(
    "task", [pytest.param(each, marks=[] if each in ALONE else pytest.mark.long) for each in TASKS]
)
def test_task_alone_changes_nothing(deployed: Deployment, task: str) -> None:
    again = deployed.run(f"tasks/{task}.py")
    assert again.changed() == []
    assert again.unchanged()


def test_hosts_pass_their_own_tests(deployed: Deployment) -> None:
    deployed.verify()


def test_client_pushes_and_pulls(
    deployed: Deployment, client: RegistryClient, images: dict[str, str]
) -> None:
    assert client.login(ADMIN, deployed.password).returncode == 0
    client.push(images["redis"], f"{ADMIN}/redis:1")
    assert client.pull(f"{ADMIN}/redis:1")
    assert client.login(ADMIN, "not-the-password").returncode != 0
    client.distrust()
    refused = client.login(ADMIN, deployed.password)
    assert refused.returncode != 0
    assert "certificate signed by unknown authority" in refused.stderr
    client.trust(deployed.ca)


def test_redis_listens_on_its_own_address_and_requires_the_password(deployed: Deployment) -> None:
    redis = deployed.machines["redis"]
    asked = deployed.machines["quay"].run(
        f"{redis.engine} exec quaylab-quay python3 -c 'import redis, sys; "
        f'redis.Redis("{redis.address}").ping()\'',
        check=False,
    )
    assert asked.returncode != 0
    assert "Authentication required" in asked.stderr
    listening = redis.run("ss -Hltn sport = 6379").stdout.split()
    assert f"{redis.address}:6379" in listening
    assert "0.0.0.0:6379" not in listening


def test_reboots_bring_everything_back(
    deployed: Deployment, client: RegistryClient, images: dict[str, str]
) -> None:
    """One machine after the other reboots, without a run in between."""
    client.login(ADMIN, deployed.password)
    client.push(images["redis"], f"{ADMIN}/redis:before")
    for machine in deployed.machines.values():
        machine.reboot()
    quay = deployed.machines["quay"]
    health = quay.engine + " inspect --format '{{.State.Health.Status}}' quaylab-quay"
    wait_until(
        lambda: quay.run(health, check=False).stdout == "healthy\n",
        "Quay is healthy after the reboots",
        timeout=120,
    )
    assert client.pull(f"{ADMIN}/redis:before")
    repeated = deployed.changed()
    assert repeated == engines.repeated_after_a_restart(quay.engine)


def test_removed_database_comes_back_with_its_rows(
    deployed: Deployment, client: RegistryClient, images: dict[str, str]
) -> None:
    client.login(ADMIN, deployed.password)
    client.push(images["redis"], f"{ADMIN}/redis:kept")
    database = deployed.machines["database"]
    database.run(engines.remove(database.engine, "quaylab-database"))
    changed = deployed.run().changed()
    assert [name for name, _ in changed] == ["tasks/database.py | Run the database"]
    assert client.pull(f"{ADMIN}/redis:kept")


def test_rotation_changes_every_password_and_loses_nothing(
    deployed: Deployment, client: RegistryClient
) -> None:
    before = deployed.secrets
    deployed.run("tasks/rotate.py", "-vvv").check()
    after = deployed.secrets
    passwords = ("database_password", "redis_password", "superuser_password")
    assert all(after[key] != before[key] for key in passwords)
    assert all(after[key] == before[key] for key in before if key not in passwords)
    assert client.login(ADMIN, before["superuser_password"]).returncode != 0
    # After a wrong password Quay refuses even the right one for a second or two.
    wait_until(lambda: client.login(ADMIN, after["superuser_password"]).returncode == 0, "a login")
    assert client.pull(f"{ADMIN}/redis:kept")
    assert deployed.run().changed() == []


def test_lost_credentials_are_read_back_from_the_host(
    deployed: Deployment, client: RegistryClient
) -> None:
    lost = deployed.secrets
    deployed.store.remove()
    refused = deployed.run()
    assert refused.returncode != 0
    assert "Traceback" not in refused.output
    assert "tasks/adopt.py" in refused.output
    assert not deployed.store.exists, "nothing is made over existing data"

    password = {"QUAYLAB_SUPERUSER_PASSWORD": lost["superuser_password"]}
    adopted = deployed.operator.pyinfra(
        deployed.inventory, "tasks/adopt.py", "-vvv", env=password
    ).check()
    assert leaked(lost, adopted.output) == []
    # Only the CA's key and the superuser's former passwords are nowhere else.
    gone = {"ca_key", "superuser_passwords_retired"}
    assert deployed.secrets == {key: lost[key] for key in lost.keys() - gone}
    assert deployed.run().changed() == []
