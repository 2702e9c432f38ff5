"""tasks/subscription.py on a machine that reports to be RHEL, with a test double of its client."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.authority import Authority
from tests.leaks import leaked
from tests.machine.deployment import Deployment
from tests.machine.machines import PROJECT, Machine, MachineFactory, Operator, Result, run
from tests.machine.watch import Watch

TASK = "tasks/subscription.py"
DOUBLE = Path(__file__).parent / "subscription" / "subscription-manager"
STATE = "/var/lib/subscription-double.json"
RED_HAT = "subscription.rhsm.redhat.com:443/subscription"
SATELLITE = "satellite.example.com:443/rhsm"
CA_PATH = "/etc/rhsm/ca/quaylab.pem"
CERTIFICATE, IDENTITY_KEY = "/etc/pki/consumer/cert.pem", "/etc/pki/consumer/key.pem"
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
TRUST = "Trust the subscription service's CA"
ATTACH = "Attach a pool, unless Simple Content Access"
RELEASE = "Lock the release"
REPOSITORIES = "Enable the repositories"


@dataclass(frozen=True)
class Rhel:
    """The machine, with the state of its client and of the client's servers."""

    machine: Machine
    lab: Deployment

    def reset(self, version: str, faults: tuple[str, ...] = (), slow: float = 0) -> None:
        """Make it a machine that was never registered, with a client of that version."""
        self.machine.run("rm -rf /etc/pki/consumer /etc/rhsm")
        self._write({"version": f"{version}.1-1", "servers": {}})
        self.serve(RED_HAT, faults=faults, slow=slow)

    def serve(self, address: str, **changes: Any) -> None:
        """Add a server, or change the state of one."""
        state = self.state()
        found = state["servers"].get(address, {})
        state["servers"][address] = {"consumers": {}, "deleted": [], **found, **changes}
        self._write(state)

    def _write(self, state: Mapping[str, Any]) -> None:
        self.machine.run(f"cat >{STATE}", input=json.dumps(state))

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.machine.run(f"cat {STATE}").stdout)
        return found

    @property
    def identity(self) -> str | None:
        """The identity in the client's certificate, or None."""
        return self.machine.run(f"sed -n 2p {CERTIFICATE}", check=False).stdout.strip() or None

    @property
    def consumers(self) -> dict[str, Any]:
        """All servers' records of registered machines, by identity."""
        servers = self.state()["servers"].values()
        return {id: each for one in servers for id, each in one["consumers"].items()}

    @property
    def consumer(self) -> dict[str, Any] | None:
        """The server's record of this machine, or None."""
        found: dict[str, Any] | None = self.consumers.get(str(self.identity))
        return found

    def forget(self, deleted: bool) -> None:
        """Make the server forget the machine; with ``deleted`` it remembers that it had it."""
        self.serve(RED_HAT, consumers={}, deleted=[self.identity] if deleted else [])

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
    """Return settings as options, in JSON: without quotes 7.6 would be a number."""
    return [f"--data={key}={json.dumps(value)}" for key, value in settings.items()]


def _names(found: list[tuple[str, str]]) -> list[str]:
    """Return the names of operations, without the one that saves the credentials."""
    names = [name.rpartition(" | ")[2] for name, _ in found]
    return [name for name in names if name != "Save the credentials"]


@pytest.fixture(scope="module")
def rhel(
    machine_factory: MachineFactory,
    operator: Operator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Rhel]:
    machine = machine_factory("rhel1", "bare")
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


# tests/unit has the registration by this version, with the same double.
@pytest.mark.parametrize("version", [pytest.param("1.24", marks=pytest.mark.long), "1.29"])
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
    again = rhel.run(settings, {})  # a registered machine needs no password
    assert _names(again.changed()) == []
    assert rhel.state() == before


def test_the_hosts_tests_find_a_disabled_repository(rhel: Rhel) -> None:
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


def test_dry_run_plans_what_the_run_changes(rhel: Rhel) -> None:
    rhel.reset("1.29")
    settings = {**BY_KEY, "rhsm_pool_matches": "*Ceph*", "rhsm_repositories": [RPMS]}
    planned = rhel.run(settings, KEY, "--dry").planned()
    assert _names(planned) == [REGISTER, ATTACH, REPOSITORIES]
    assert rhel.consumer is None
    assert _names(rhel.run(settings, KEY).changed()) == _names(planned)
    consumer = rhel.consumer
    assert consumer and consumer["pools"] == [
        EMPLOYEE,
        CEPH,
    ]  # the key's pool, and the one that matches the pattern

    subscribed = rhel.run({**settings, "rhsm_release": "7.5"}, {}, "--dry").planned()
    assert _names(subscribed) == [RELEASE]


# tests/unit has the 404 as well, with the same double.
@pytest.mark.parametrize(
    "deleted", [pytest.param(True, id="410"), pytest.param(False, marks=pytest.mark.long, id="404")]
)
def test_a_host_that_the_server_has_forgotten_is_registered_again(
    rhel: Rhel, deleted: bool
) -> None:
    rhel.reset("1.29")
    rhel.run(BY_KEY, KEY).check()
    lost = rhel.identity
    rhel.forget(deleted)
    assert _names(rhel.run(BY_KEY, KEY).changed()) == [REGISTER]
    assert rhel.consumer
    assert rhel.identity != lost
    rhel.forget(deleted)
    rhel.run({**BY_KEY, "rhsm_unregister": True}, {}, task="tasks/teardown.py").check()
    assert rhel.identity is None


# tests/unit has each damage, with the same double.
@pytest.mark.parametrize(
    "damage",
    [
        f"rm {IDENTITY_KEY}",
        pytest.param(f"truncate -s 40 {CERTIFICATE}", marks=pytest.mark.long),
        pytest.param(f"truncate -s 0 {IDENTITY_KEY}", marks=pytest.mark.long),
    ],
)
def test_a_damaged_identity_is_registered_again(rhel: Rhel, damage: str) -> None:
    rhel.reset("1.29")
    rhel.run(BY_KEY, KEY).check()
    rhel.machine.run(damage)
    assert _names(rhel.run(BY_KEY, KEY).changed()) == [REGISTER]
    assert rhel.consumer
    rhel.machine.run(damage)
    rhel.run({**BY_KEY, "rhsm_unregister": True}, {}, task="tasks/teardown.py").check()
    assert rhel.machine.run("ls /etc/pki/consumer").stdout == ""


def test_exit_status_70_is_a_successful_registration(rhel: Rhel) -> None:
    rhel.reset("1.29", faults=("fails",))
    assert _names(rhel.run(BY_KEY, KEY).changed()) == [REGISTER]
    assert rhel.consumer


def test_a_key_whose_pools_do_not_cover_the_host(rhel: Rhel) -> None:
    rhel.reset("1.29")
    settings = {**BY_KEY, "rhsm_pool": EMPLOYEE, "rhsm_repositories": [RPMS]}
    done = rhel.run(settings, {"QUAYLAB_RHSM_ACTIVATION_KEY": "bare-key"})
    assert _names(done.changed()) == [REGISTER, ATTACH, REPOSITORIES]


@pytest.mark.parametrize(
    ("settings", "env", "message"),
    [
        (
            BY_PASSWORD,
            {"QUAYLAB_RHSM_PASSWORD": "wrong-password"},
            "rhsm_user: Invalid Credentials (HTTP error code 401: Unauthorized)",
        ),
        (
            {**BY_KEY, "rhsm_server": "https://localhost:9/candlepin"},
            KEY,
            "rhsm_server: Unable to reach the server at localhost:9/candlepin",
        ),
        (BY_KEY, {}, "QUAYLAB_RHSM_ACTIVATION_KEY: not set, and there is no terminal"),
    ],
    ids=["password", "unreachable", "no key"],
)
def test_refused_registration(
    rhel: Rhel, settings: dict[str, Any], env: dict[str, str], message: str
) -> None:
    rhel.reset("1.29")
    result = rhel.run(settings, env)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert rhel.consumer is None
    assert leaked(env, result.output) == []


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
    planned = rhel.run({**BY_PASSWORD, **wanted}, {}, "--dry")
    assert planned.returncode == 1
    assert "rhsm_repositories: rhel1 may not use no-such-rpms" in planned.stderr


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


def test_a_run_killed_after_the_registration_is_completed(rhel: Rhel) -> None:
    rhel.reset("1.29")
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
    assert _names(rhel.run(settings, {}).changed()) == [REPOSITORIES]


def test_a_run_killed_while_it_waits_for_the_server_leaves_one_registration(rhel: Rhel) -> None:
    rhel.reset("1.29", slow=8)
    start = rhel.lab.operator.start
    registering = "pgrep -f '[s]ubscription-manager register'"
    with start(rhel.lab.inventory, TASK, *_data(BY_KEY), env=KEY) as running:
        try:
            while rhel.machine.run(registering, check=False).returncode:
                assert running.poll() is None, running.communicate()
        finally:
            running.kill()
    assert rhel.identity is None
    rhel.run(BY_KEY, KEY).check()
    assert list(rhel.consumers) == [rhel.identity]


def test_no_secret_is_printed_at_the_highest_verbosity(rhel: Rhel) -> None:
    rhel.reset("1.29")
    result = rhel.run(BY_PASSWORD, PASSWORD, "-vvv", "--debug").check()
    assert "--password=" in result.output
    assert "labpass" not in result.output
    assert rhel.consumer
    assert "labpass" not in rhel.lab.store.path.read_text()


@pytest.mark.parametrize("how", ["key", "password"])
def test_no_secret_is_on_a_command_line_or_in_the_journal(rhel: Rhel, how: str) -> None:
    rhel.reset("1.29", slow=3)
    by_key = how == "key"
    settings, secret = (BY_KEY, "quay-key") if by_key else (BY_PASSWORD, "labpass")
    env = {"QUAYLAB_RHSM_ACTIVATION_KEY" if by_key else "QUAYLAB_RHSM_PASSWORD": secret}
    watch = Watch(rhel.machine)
    watch.start()
    rhel.run(settings, env).check()
    watch.stop()
    assert "subscription-manager register" in watch.arguments
    assert secret not in watch.arguments
    journal = rhel.machine.run("journalctl -o json --since=-5min").stdout
    identity = str(rhel.identity)  # asked of the machine, and the journal has thousands of lines
    (logged,) = [json.loads(line) for line in journal.splitlines() if identity in line]
    assert logged["MESSAGE"] == f"Registered system with identity: {identity}"
    assert "subscription-manager register" in logged["_CMDLINE"]
    assert secret not in journal


@pytest.fixture
def satellite(rhel: Rhel) -> dict[str, Any]:
    """The settings for a server with a CA that the client doesn't have."""
    rhel.reset("1.28")
    rhel.serve(SATELLITE, ca=rhel.lab.ca)
    return {
        **BY_KEY,
        "rhsm_server": "https://satellite.example.com/rhsm",
        "rhsm_content": "https://satellite.example.com/pulp/content",
        "rhsm_ca": str(rhel.lab.store.ca_path),
    }


def test_satellite_and_its_ca(rhel: Rhel, satellite: dict[str, Any]) -> None:
    done = rhel.run(satellite, KEY)
    assert _names(done.changed()) == [TRUST, REGISTER]
    assert list(rhel.state()["servers"][SATELLITE]["consumers"]) == [rhel.identity]
    conf = rhel.machine.run("cat /etc/rhsm/rhsm.conf").stdout
    assert f"repo_ca_cert = {CA_PATH}" in conf
    assert f"baseurl = {satellite['rhsm_content']}" in conf
    assert rhel.machine.run(f"cat {CA_PATH}").stdout == rhel.lab.ca
    assert _names(rhel.run(satellite, {}).changed()) == []


# tests/unit has each fault, with the same double.
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("fails", marks=pytest.mark.long),
        pytest.param("refuses", marks=pytest.mark.long),
        "kills before",
        "kills after",
    ],
)
def test_an_interrupted_registration_is_completed(
    rhel: Rhel, satellite: dict[str, Any], fault: str
) -> None:
    """With the server where it was started."""
    rhel.serve(SATELLITE, faults=[fault])
    first = rhel.run(satellite, KEY)
    assert "Traceback" not in first.output
    assert first.returncode == (1 if fault in ("refuses", "kills before") else 0)
    rhel.serve(SATELLITE, faults=[])
    rhel.run(satellite, KEY).check()
    assert rhel.consumer
    assert _names(rhel.run(satellite, {}).changed()) == []


def test_a_ca_that_was_deleted_or_renewed(
    rhel: Rhel, satellite: dict[str, Any], tmp_path: Path
) -> None:
    rhel.run(satellite, KEY).check()
    rhel.machine.run(f"rm {CA_PATH}")
    assert _names(rhel.run(satellite, {}).changed()) == [TRUST]

    renewed = Authority.new().save(tmp_path / "renewed.pem")
    rhel.serve(SATELLITE, ca=renewed.read_text())
    refused = rhel.run(satellite, {})
    assert refused.returncode == 1
    assert "rhsm_ca: rhel1 can't tell whether it is registered" in refused.stderr
    with_new = {**satellite, "rhsm_ca": str(renewed)}
    assert _names(rhel.run(with_new, {}).changed()) == [TRUST]
    assert _names(rhel.run(with_new, {}).changed()) == []

    rhel.machine.run(f"rm {CA_PATH}")
    down = {**with_new, "rhsm_unregister": True}
    rhel.run(down, {}, task="tasks/teardown.py").check()
    assert rhel.consumers == {}


def test_a_registered_host_is_moved_by_unregistering_it(
    rhel: Rhel, satellite: dict[str, Any], tmp_path: Path
) -> None:
    rhel.run(satellite, KEY).check()
    other = Authority.new().save(tmp_path / "other.pem")
    rhel.serve("new.example.com:443/rhsm", ca=other.read_text())
    moved = {
        **satellite,
        "rhsm_server": "https://new.example.com/rhsm",
        "rhsm_content": "https://new.example.com/pulp/content",
        "rhsm_ca": str(other),
    }
    refused = rhel.run(moved, KEY)
    assert refused.returncode == 1
    message = "rhsm_server: rhel1 is registered with https://satellite.example.com:443/rhsm, not"
    assert message in refused.stderr
    assert _names(rhel.run(satellite, {}).changed()) == []  # it still trusts its server's CA

    rhel.run({**moved, "rhsm_unregister": True}, {}, task="tasks/teardown.py").check()
    assert rhel.consumers == {}
    assert _names(rhel.run(moved, KEY).changed()) == [TRUST, REGISTER]
    assert list(rhel.state()["servers"]["new.example.com:443/rhsm"]["consumers"])


def test_teardown_unregisters_when_asked(rhel: Rhel) -> None:
    rhel.reset("1.29")
    rhel.run(BY_KEY, KEY).check()
    rhel.run(BY_KEY, {}, task="tasks/teardown.py").check()
    assert rhel.consumer
    rhel.run({**BY_KEY, "rhsm_unregister": True}, {}, task="tasks/teardown.py").check()
    assert rhel.consumer is None
