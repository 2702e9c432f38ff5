"""tasks/subscription.py on a machine that says it is RHEL, with a double of its client."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.machine.deployment import Deployment
from tests.machine.machines import PROJECT, Machine, MachineFactory, Operator, Result, run

TASK = "tasks/subscription.py"
DOUBLE = Path(__file__).parent / "subscription" / "subscription-manager"
STATE = "/var/lib/subscription-double.json"
EMPLOYEE = "8a85f9833e1404a9013e3cddf95a0599"
CEPH = "8a85f98460bfb0470160c2ff25e10f2b"
RPMS, EXTRAS = "rhel-7-server-rpms", "rhel-7-server-extras-rpms"
BY_KEY = {"rhsm_organization": "acme"}
KEY = {"QUAYLAB_RHSM_ACTIVATION_KEY": "quay-key"}
BY_PASSWORD = {"rhsm_organization": "acme", "rhsm_user": "quay"}
PASSWORD = {"QUAYLAB_RHSM_PASSWORD": "labpass"}
SCA = {"rhsm_organization": "sca"}
SCA_KEY = {"QUAYLAB_RHSM_ACTIVATION_KEY": "sca-key"}
REGISTER = "Register the host"
ATTACH = "Attach a pool"
RELEASE = "Lock the release"
REPOSITORIES = "Enable the repositories"


@dataclass(frozen=True)
class Rhel:
    """The machine, and what its client and the client's server know."""

    machine: Machine
    lab: Deployment

    def reset(self, version: str, faults: tuple[str, ...] = (), seconds: float = 0) -> None:
        """A machine that was never registered, with a client of that version."""
        self.set(
            version=f"{version}.1-1",
            faults=faults,
            seconds=seconds,
            identity=None,
            consumers={},
            config={},
        )

    def set(self, **changes: Any) -> None:
        self.machine.run(f"cat >{STATE}", input=json.dumps({**self.state(), **changes}))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.machine.run(f"cat {STATE} || echo {{}}").stdout)
        return found

    @property
    def consumer(self) -> dict[str, Any] | None:
        """What the server knows of the machine."""
        state = self.state()
        found: dict[str, Any] | None = state["consumers"].get(state["identity"])
        return found

    def run(
        self,
        settings: Mapping[str, Any],
        env: Mapping[str, str],
        *arguments: str,
        task: str = TASK,
    ) -> Result:
        given = (*_data(settings), *arguments)
        return self.lab.operator.pyinfra(self.lab.inventory, task, *given, env=env)


def _data(settings: Mapping[str, Any]) -> list[str]:
    """As JSON: without quotes 7.6 would be a number."""
    return [f"--data={key}={json.dumps(value)}" for key, value in settings.items()]


def _names(found: list[tuple[str, str]]) -> list[str]:
    """Operations, but for that which keeps the credentials."""
    names = [name.rpartition(" | ")[2] for name, _ in found]
    return [name for name in names if name != "Keep the credentials"]


@pytest.fixture(scope="module")
def rhel(
    machine_factory: MachineFactory,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rhel]:
    machine = machine_factory("rhel1", image="bare")
    machine.run("rm /etc/os-release; cat >/etc/os-release", input='ID="rhel"\nVERSION_ID="9.4"\n')
    machine.put(DOUBLE, "/usr/sbin/subscription-manager")
    lab = Deployment.of(
        operator,
        tmp_path_factory.mktemp("rhsm"),
        {part: [machine] for part in ("quay", "database", "redis")},
        image_source="registry",
        minimum_memory_mb=256,
    )
    yield Rhel(machine, lab)
    lab.forget()
    machine.destroy()


@pytest.mark.parametrize("version", ["1.24", "1.29"])
def test_first_run_does_it_all_and_the_second_nothing(rhel: Rhel, version: str) -> None:
    rhel.reset(version)
    settings = {
        **BY_PASSWORD,
        "rhsm_pool": EMPLOYEE,
        "rhsm_release": "7.6",
        "rhsm_repositories": [RPMS, EXTRAS],
    }
    done = rhel.run(settings, PASSWORD)
    assert _names(done.changed()) == [REGISTER, ATTACH, RELEASE, REPOSITORIES]
    consumer = rhel.consumer
    assert consumer
    assert consumer["pools"] == [EMPLOYEE]
    assert consumer["release"] == "7.6"
    assert {id for id, enabled in consumer["overrides"].items() if enabled} == {RPMS, EXTRAS}
    assert len(consumer["overrides"]) == 6  # the others are disabled

    before = rhel.state()
    again = rhel.run(settings, {})  # who is registered needs no password
    assert _names(again.changed()) == []
    assert rhel.state() == before


def test_hosts_own_tests_see_a_repository_that_was_disabled(rhel: Rhel) -> None:
    rhel.reset("1.29")
    settings = {**BY_KEY, "rhsm_repositories": [RPMS, EXTRAS]}
    rhel.run(settings, KEY).check()
    rhel.machine.run(f"subscription-manager repos --disable={EXTRAS}")
    verified = run(
        *(sys.executable, "-m", "pytest", "--hosts=all", f"--inventory={rhel.lab.inventory}"),
        *(*_data(settings), "tests/hosts/test_subscription.py", "-p", "no:cacheprovider"),
        cwd=PROJECT,
        check=False,
    )
    assert "1 failed, 1 passed" in verified.stdout, verified.stdout + verified.stderr
    assert "test_has_just_these_repositories" in verified.stdout
    assert _names(rhel.run(settings, {}).changed()) == [REPOSITORIES]


def test_dry_run_tells_the_truth(rhel: Rhel) -> None:
    rhel.reset("1.29")
    settings = {**BY_KEY, "rhsm_pool_matches": "*Ceph*", "rhsm_repositories": [RPMS]}
    planned = rhel.run(settings, KEY, "--dry").planned()
    assert _names(planned) == [REGISTER, ATTACH, REPOSITORIES]
    assert rhel.consumer is None
    assert _names(rhel.run(settings, KEY).changed()) == _names(planned)
    consumer = rhel.consumer
    assert consumer and consumer["pools"] == [EMPLOYEE, CEPH]  # the key's own, and the pattern's

    subscribed = rhel.run({**settings, "rhsm_release": "7.5"}, {}, "--dry").planned()
    assert _names(subscribed) == [RELEASE]


def test_a_consumer_that_the_server_has_deleted_is_registered_again(rhel: Rhel) -> None:
    rhel.reset("1.29")
    rhel.run(BY_KEY, KEY).check()
    lost = rhel.state()["identity"]
    rhel.set(consumers={})
    assert _names(rhel.run(BY_KEY, KEY).changed()) == [REGISTER]
    assert rhel.consumer
    assert rhel.state()["identity"] != lost


def test_a_registration_that_ends_with_70_is_one(rhel: Rhel) -> None:
    rhel.reset("1.29", faults=("profile",))
    assert _names(rhel.run(BY_KEY, KEY).changed()) == [REGISTER]
    assert rhel.consumer


@pytest.mark.parametrize(
    ("settings", "env", "told"),
    [
        (
            BY_PASSWORD,
            {"QUAYLAB_RHSM_PASSWORD": "wrong-password"},
            "rhsm_user: Invalid Credentials (HTTP error code 401: Unauthorized)",
        ),
        (
            {**BY_KEY, "rhsm_server": "https://localhost:9/candlepin"},
            KEY,
            "rhsm_organization: Unable to reach the server at localhost:9/candlepin",
        ),
        (BY_KEY, {}, "QUAYLAB_RHSM_ACTIVATION_KEY: not set, and there is no terminal"),
    ],
    ids=["password", "unreachable", "no key"],
)
def test_refused_registration(
    rhel: Rhel, settings: dict[str, Any], env: dict[str, str], told: str
) -> None:
    rhel.reset("1.29")
    result = rhel.run(settings, env)
    assert result.returncode == 1
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert rhel.consumer is None
    for secret in env.values():
        assert secret not in result.output


def test_unknown_pool_and_repository(rhel: Rhel) -> None:
    rhel.reset("1.29")
    result = rhel.run({**BY_PASSWORD, "rhsm_pool": "deadbeef"}, PASSWORD)
    assert result.returncode == 1
    assert "rhsm_pool: Subscription pool deadbeef does not exist." in result.stderr

    wanted = {"rhsm_pool": EMPLOYEE, "rhsm_repositories": [RPMS, "no-such-rpms"]}
    result = rhel.run({**BY_PASSWORD, **wanted}, {})
    assert result.returncode == 1
    assert "rhsm_repositories: rhel1 may not use no-such-rpms; none was enabled" in result.stderr
    consumer = rhel.consumer
    assert consumer and consumer["overrides"] == {}


def test_simple_content_access_has_no_pools(rhel: Rhel) -> None:
    rhel.reset("1.29")
    done = rhel.run({**SCA, "rhsm_pool": EMPLOYEE, "rhsm_repositories": [RPMS]}, SCA_KEY)
    assert _names(done.changed()) == [REGISTER, REPOSITORIES]
    consumer = rhel.consumer
    assert consumer and consumer["pools"] == []


def test_a_client_without_pools(rhel: Rhel) -> None:
    rhel.reset("1.30")
    result = rhel.run({**SCA, "rhsm_pool": EMPLOYEE}, SCA_KEY)
    assert result.returncode == 1
    assert "rhsm_pool: rhel1 has subscription-manager 1.30, which can't attach" in result.stderr
    assert rhel.consumer is None

    done = rhel.run({**SCA, "rhsm_repositories": [RPMS]}, SCA_KEY)
    assert _names(done.changed()) == [REGISTER, REPOSITORIES]


def test_killed_after_the_registration_it_is_completed(rhel: Rhel) -> None:
    rhel.reset("1.29", seconds=0.3)
    settings = {**BY_KEY, "rhsm_repositories": [RPMS]}
    start = rhel.lab.operator.start
    with start(rhel.lab.inventory, TASK, *_data(settings), env=KEY) as running:
        try:
            while rhel.consumer is None:
                assert running.poll() is None, running.communicate()
        finally:
            running.kill()
    consumer = rhel.consumer
    assert consumer and consumer["overrides"] == {}
    rhel.set(seconds=0)
    assert _names(rhel.run(settings, {}).changed()) == [REPOSITORIES]


def test_no_secret_is_told_at_the_highest_verbosity(rhel: Rhel) -> None:
    rhel.reset("1.29")
    result = rhel.run(BY_PASSWORD, PASSWORD, "-vvv", "--debug").check()
    assert "--password=" in result.output
    assert "labpass" not in result.output
    assert rhel.consumer
    assert "labpass" not in rhel.lab.store.path.read_text()


def test_satellite_and_its_ca(rhel: Rhel) -> None:
    rhel.reset("1.28")
    satellite = {
        **BY_KEY,
        "rhsm_server": "https://satellite.example.com/rhsm",
        "rhsm_content": "https://satellite.example.com/pulp/content",
        "rhsm_ca": str(rhel.lab.store.ca_path),  # any certificate will do
    }
    done = rhel.run(satellite, KEY)
    assert _names(done.changed()) == ["Trust the subscription service's CA", REGISTER]
    ca = "/etc/rhsm/ca/quaylab.pem"
    state = rhel.state()
    assert state["server"] == "satellite.example.com:443/rhsm"
    assert state["config"] == {"repo_ca_cert": ca, "baseurl": satellite["rhsm_content"]}
    assert rhel.machine.run(f"cat {ca}").stdout == rhel.lab.ca
    assert _names(rhel.run(satellite, {}).changed()) == []


def test_teardown_unregisters_when_asked(rhel: Rhel) -> None:
    rhel.reset("1.29")
    rhel.run(BY_KEY, KEY).check()
    rhel.run(BY_KEY, {}, task="tasks/teardown.py").check()
    assert rhel.consumer
    rhel.run({**BY_KEY, "rhsm_unregister": True}, {}, task="tasks/teardown.py").check()
    assert rhel.consumer is None
