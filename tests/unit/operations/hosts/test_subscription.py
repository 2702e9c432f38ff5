"""Operations for subscriptions; commands and facts run against a test double of the client."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest
from pyinfra.api.exceptions import DeployError

from facts.subscription import AttachedPools, Registration, Repositories
from operations.hosts import subscription
from operations.runtime import commands
from quaylab.hosts import subscription as core
from quaylab.hosts.subscription import Registration as Found
from quaylab.plan import Plan, make
from quaylab.settings.loading import Settings
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import ROOT, certified, host, machine, settings
from tests.unit.shell import Shell

DOUBLE = ROOT / "tests" / "machine" / "subscription" / "subscription-manager"
EMPLOYEE = "8a85f9833e1404a9013e3cddf95a0599"
BY_KEY = settings(rhsm_organization="acme")
BY_PASSWORD = settings(rhsm_user="quay")


UUID = "eeb161eb-1acb-434f-aa56-57a902325e93"
RED_HAT = "subscription.rhsm.redhat.com:443/subscription"
SATELLITE = "satellite.example.com:443/rhsm"
CERTIFICATE, KEY = "etc/pki/consumer/cert.pem", "etc/pki/consumer/key.pem"


class Rhel(FakeHost):
    """A host whose facts and commands run here, with the double of the client."""

    def __init__(self, shell: Shell, root: Path) -> None:
        super().__init__(name="rhel1")
        self._shell = shell
        self.root = root
        (shell.stubs / "subscription-manager").symlink_to(DOUBLE)

    def get_fact(self, fact: type[Any], **arguments: Any) -> Any:
        return fact().process(self._shell.lines(fact().command(**arguments)))

    def set(self, **changes: Any) -> None:
        (self.root / "state.json").write_text(json.dumps({**self.state, **changes}))

    def serve(self, address: str = RED_HAT, **changes: Any) -> None:
        """Add a server, or change the state of one."""
        servers = self.state.get("servers", {})
        self.set(servers={**servers, address: {**servers.get(address, {}), **changes}})

    def shell_of(self, command: str) -> int:
        return self._shell.run(command).returncode

    def run(self, command: Any) -> subprocess.CompletedProcess[str]:
        given = stdin(command) if "_stdin" in command.connector_arguments else None
        return self._shell.run(text(command), given)

    @property
    def state(self) -> dict[str, Any]:
        path = self.root / "state.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    @property
    def identity(self) -> str | None:
        """The identity in its certificate, or None."""
        path = self.root / CERTIFICATE
        return path.read_text().splitlines()[1] if path.exists() else None

    @property
    def consumers(self) -> dict[str, Any]:
        """All servers' records of registered machines, by identity."""
        servers = self.state.get("servers", {}).values()
        return {id: each for one in servers for id, each in one.get("consumers", {}).items()}

    @property
    def consumer(self) -> dict[str, Any]:
        found: dict[str, Any] = self.consumers[str(self.identity)]
        return found

    def perform(self, operation: Any, **arguments: Any) -> list[str]:
        """Run an operation's commands, each before the next is made; return a failure's error."""
        failed: list[str] = []
        with self.current():
            commands: Iterator[Any] = operation._inner(**arguments)
            for command in commands:
                done = self.run(command)
                assert done.stdout == ""
                if done.returncode:
                    failed.append(done.stderr.strip())
                    break
        return failed

    def known(self, *pools: str, address: str = RED_HAT) -> None:
        """Make it a registered host with these pools."""
        consumer = {"name": "rhel1", "org": "acme", "pools": pools, "overrides": {}, "release": ""}
        self.serve(address, consumers={UUID: consumer})
        for path, kind in ((CERTIFICATE, "CERTIFICATE"), (KEY, "PRIVATE KEY")):
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(f"-----BEGIN {kind}-----\n{UUID}\n-----END {kind}-----\n")

    def register(self, how: Settings = BY_KEY, secret: str = "quay-key") -> list[str]:
        return self.perform(subscription.registered, settings=how, secret=secret)


@pytest.fixture
def rhel(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rhel:
    monkeypatch.setenv("SUBSCRIPTION_DOUBLE", str(tmp_path / "state.json"))
    monkeypatch.setattr(core, "CONSUMER", str(tmp_path / "etc/pki/consumer"))
    monkeypatch.setattr(core, "CA_PATH", str(tmp_path / "etc/rhsm/ca/quaylab.pem"))
    monkeypatch.setattr(commands, "LOCK", str(tmp_path / "lock"))
    return Rhel(shell, tmp_path)


@pytest.mark.parametrize("version", ["1.24.54-1.el7", "1.29.40-1.el9"])
def test_facts_before_and_after(rhel: Rhel, version: str) -> None:
    rhel.set(version=version)
    found = rhel.get_fact(Registration)
    assert (found.installed, found.version) == (True, (1, int(version[2:4])))
    assert (found.identity, found.void, found.trouble) == (None, False, None)
    assert found.server == "https://subscription.rhsm.redhat.com:443/subscription"
    assert rhel.get_fact(Repositories) == {}
    assert rhel.get_fact(AttachedPools).attached == ()

    assert rhel.register() == []
    found = rhel.get_fact(Registration)
    assert (found.identity, found.organization) == (rhel.identity, "acme")
    assert rhel.get_fact(Repositories)["rhel-7-server-optional-rpms"] is False
    pools = rhel.get_fact(AttachedPools, matches="*Employee*")
    assert pools.attached == pools.available == (EMPLOYEE,)
    assert not pools.simple_content_access


@pytest.mark.parametrize("version", ["1.28.42-1", "1.30.6-1"])
def test_simple_content_access(rhel: Rhel, version: str) -> None:
    rhel.set(version=version)
    assert rhel.register(settings(rhsm_organization="sca"), "sca-key") == []
    wanted = settings(rhsm_organization="sca", rhsm_pool=EMPLOYEE)
    if rhel.get_fact(Registration).has_pools:
        assert rhel.perform(subscription.pool_attached, settings=wanted) == []
        assert rhel.noops == ["Simple Content Access: there is no pool to attach"]
    assert len(rhel.get_fact(Repositories)) == 6


@pytest.mark.parametrize("version", ["1.24.54-1", "1.29.40-1"])
def test_deleted_on_the_server(rhel: Rhel, version: str) -> None:
    rhel.known()
    rhel.set(version=version)
    rhel.serve(consumers={}, deleted=[UUID])
    assert rhel.get_fact(Registration).void
    assert rhel.register() == []
    assert rhel.consumer["org"] == "acme"


def test_exit_status_70_is_a_successful_registration(rhel: Rhel) -> None:
    rhel.serve(faults=["fails"])
    assert rhel.register() == []
    assert rhel.register() == []
    assert rhel.noops == [f"registered as {rhel.identity}"]


@pytest.mark.parametrize(
    ("how", "secret", "message"),
    [
        ({"rhsm_user": "quay"}, "hunter2", "rhsm_user: Invalid Credentials"),
        (
            {"rhsm_user": "admin", "rhsm_organization": "nope"},
            "secret",
            "rhsm_organization: Organization nope does not exist",
        ),
        ({"rhsm_user": "admin"}, "secret", "rhsm_organization: Hint: User "),
        ({"rhsm_user": "noorg"}, "x", "rhsm_user: noorg cannot register with any organizations."),
        ({"rhsm_organization": "acme"}, "hunter2", "rhsm_organization: None of the activation"),
    ],
    ids=["password", "organization", "no organization", "in none", "key"],
)
def test_refused_registration(rhel: Rhel, how: dict[str, Any], secret: str, message: str) -> None:
    (line,) = rhel.register(settings(**how), secret)
    assert message in line
    assert "\n" not in line
    assert "hunter2" not in line
    assert rhel.identity is None


@pytest.mark.parametrize("secret", ["hunter2", " a*'b\"$(id)`id`\\\\ {x} %s ü"])
def test_a_secret_in_the_servers_answer_is_masked(rhel: Rhel, secret: str) -> None:
    rhel.serve(faults=["talks"])
    (line,) = rhel.register(secret=secret)
    expected = "Couldn't find activation key '***' (HTTP error code 404: Not Found)"
    assert line == f"rhsm_organization: {expected}"


def test_the_secret_goes_through_standard_input(rhel: Rhel) -> None:
    (command,) = rhel.operate(subscription.registered, settings=BY_PASSWORD, secret="hunter2")
    assert "hunter2" not in text(command)
    assert stdin(command) == "hunter2\n"


@pytest.mark.parametrize("how", [BY_KEY, BY_PASSWORD], ids=["key", "password"])
def test_the_secret_is_on_no_command_line(rhel: Rhel, how: Settings) -> None:
    secret = "labpass" if how.rhsm_user else "quay-key"
    assert rhel.register(how, secret) == []
    (logged,) = rhel.state["log"]
    assert logged["message"].startswith("Registered system with identity")
    assert "subscription-manager register" in logged["command_line"]
    assert secret not in logged["command_line"]


def test_a_key_whose_pools_do_not_cover_the_host(rhel: Rhel) -> None:
    assert rhel.register(secret="bare-key") == []
    assert rhel.consumer["pools"] == []


def test_a_registration_beside_that_of_a_killed_run(rhel: Rhel) -> None:
    """The killed run's registration continues on the host, and gets its certificate later."""
    rhel.serve(slow=3)
    with rhel.current():
        (command,) = subscription.registered._inner(settings=BY_KEY, secret="quay-key")
    first = Thread(target=rhel.run, args=[command])
    first.start()
    sleep(1)
    assert rhel.run(command).returncode == 0
    first.join()
    assert list(rhel.consumers) == [rhel.identity]


@pytest.mark.parametrize(
    ("path", "length"),
    [(KEY, None), (CERTIFICATE, None), (CERTIFICATE, 40), (CERTIFICATE, 0), (KEY, 0)],
    ids=["no key", "no certificate", "certificate cut", "certificate empty", "key empty"],
)
def test_a_damaged_identity(rhel: Rhel, lab: Plan, path: str, length: int | None) -> None:
    rhel.known(EMPLOYEE)
    if length is None:
        (rhel.root / path).unlink()
    else:
        os.truncate(rhel.root / path, length)
    found = rhel.get_fact(Registration)
    assert (found.identity, found.void) == (None, True)
    assert rhel.register() == []
    assert rhel.identity in rhel.consumers

    (rhel.root / path).unlink()
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert list((rhel.root / CERTIFICATE).parent.iterdir()) == []


def test_a_server_that_does_not_know_the_host(rhel: Rhel, lab: Plan) -> None:
    """As after it was reinstalled: its answer is 404, not 410."""
    rhel.known()
    rhel.serve(consumers={})
    assert rhel.register() == []
    assert list(rhel.consumers) == [rhel.identity]
    rhel.serve(consumers={})
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert rhel.identity is None


def test_an_expired_registration_is_reported_and_left(rhel: Rhel, lab: Plan) -> None:
    """The host's clock may be wrong instead."""
    rhel.known()
    rhel.serve(faults=["expired"])
    message = "rhel1: its registration's certificate has expired, or its clock is wrong"
    with rhel.current():
        found = rhel.get_fact(Registration)
        assert (found.identity, found.void) == (None, False)
        with pytest.raises(DeployError, match=message):
            subscription.check(BY_KEY, found)
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    (line,) = rhel.perform(subscription.unregistered, plan=plan)
    assert line.startswith(message)
    assert rhel.identity == UUID


# --- a Satellite server ---

CA = certified().ca_certificate or ""


def _satellite(rhel: Rhel, **given: Any) -> Settings:
    """Return the settings for the server; its CA is written to a file."""
    path = rhel.root / "satellite-ca.pem"
    path.write_text(CA)
    urls = {
        "rhsm_server": "https://satellite.example.com/rhsm",
        "rhsm_content": "https://satellite.example.com/pulp/content",
    }
    return settings(rhsm_organization="acme", rhsm_ca=path, **{**urls, **given})


def _trust(wanted: Settings) -> None:
    """Trust the server's CA, as the task does before the registration."""
    ca = core.certificate(wanted)
    assert ca
    Path(core.CA_PATH).parent.mkdir(parents=True, exist_ok=True)
    Path(core.CA_PATH).write_text(ca.content)


@pytest.mark.parametrize("fault", ["fails", "kills after", "refuses", "kills before"])
def test_the_server_is_configured_before_the_registration(rhel: Rhel, fault: str) -> None:
    """Otherwise a host could have one server's identity and ask another server."""
    wanted = _satellite(rhel)
    _trust(wanted)
    rhel.serve(SATELLITE, ca=CA, faults=[fault])
    failed = rhel.register(wanted)
    assert (failed == []) is (fault in ("fails", "kills after"))
    if fault == "kills before":
        assert failed[0].endswith("rhsm_organization: it ended with exit code 137")
    found = rhel.get_fact(Registration)
    assert found.server == "https://satellite.example.com:443/rhsm"
    assert found.configuration["rhsm.baseurl"] == wanted.rhsm_content
    assert found.trouble is None
    rhel.serve(SATELLITE, faults=[])
    assert rhel.register(wanted) == []
    assert rhel.identity in rhel.consumers


@pytest.mark.parametrize(
    ("server", "ca", "message"),
    [
        ({}, False, "rhsm_ca: Error: CA certificate for subscription service has not been"),
        ({"faults": ["down"]}, True, "rhsm_server: Unable to reach the server at satellite."),
        ({"faults": ["refuses"]}, True, "rhsm_server: Remote server error."),
        ({"faults": ["suspended"]}, True, "rhsm_server: Candlepin is in Suspend Mode"),
    ],
    ids=["CA", "down", "error", "suspended"],
)
def test_connection_problems(rhel: Rhel, server: dict[str, Any], ca: bool, message: str) -> None:
    wanted = _satellite(rhel)
    if ca:
        _trust(wanted)
    rhel.serve(SATELLITE, ca=CA, **server)
    (line,) = rhel.register(wanted)
    assert line.startswith(message)


@pytest.mark.parametrize("there", [None, "not a certificate\n"], ids=["deleted", "damaged"])
def test_a_missing_ca_is_written_again(rhel: Rhel, there: str | None) -> None:
    wanted = _satellite(rhel)
    _trust(wanted)
    rhel.serve(SATELLITE, ca=CA)
    assert rhel.register(wanted) == []
    if there is None:
        Path(core.CA_PATH).unlink()
    else:
        Path(core.CA_PATH).write_text(there)
    with rhel.current():
        found = rhel.get_fact(Registration)
        assert found.trouble
        subscription.check(wanted, found)
        assert subscription.secret(wanted, found) == ""
        with pytest.raises(DeployError, match="rhsm_ca: rhel1 can't tell whether"):
            subscription.check(BY_KEY, found)
    rhel.executing = False
    assert rhel.operate(subscription.registered, settings=wanted, secret="") == []
    rhel.executing = True
    (line,) = rhel.register(wanted, "")
    assert line.startswith("rhsm_ca: rhel1 can't tell whether")
    _trust(wanted)
    assert rhel.register(wanted, "") == []
    assert rhel.noops[-1] == f"registered as {rhel.identity}"


def test_a_server_certificate_for_another_name_is_no_fault_of_the_ca(rhel: Rhel) -> None:
    wanted = _satellite(rhel)
    _trust(wanted)
    rhel.serve(SATELLITE, ca=CA)
    assert rhel.register(wanted) == []
    rhel.serve(SATELLITE, faults=["renamed"])
    with rhel.current(), pytest.raises(DeployError, match="rhsm_server: rhel1 can't tell whether"):
        subscription.check(wanted, rhel.get_fact(Registration))


def test_teardown_with_a_missing_ca(rhel: Rhel, lab: Plan) -> None:
    wanted = _satellite(rhel)
    _trust(wanted)
    rhel.serve(SATELLITE, ca=CA)
    assert rhel.register(wanted) == []
    Path(core.CA_PATH).unlink()
    given = {key: getattr(wanted, key) for key in ("rhsm_server", "rhsm_content", "rhsm_ca")}
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True, **given)
    commands = rhel.operate(subscription.unregistered, plan=plan)
    assert len(commands) == 2
    assert core.CA_PATH in text(commands[0])
    _trust(wanted)
    assert rhel.shell_of(text(commands[1])) == 0
    assert rhel.consumers == {}


def test_a_registered_host_stays_with_its_server_and_its_ca(rhel: Rhel) -> None:
    rhel.known(EMPLOYEE)
    wanted = _satellite(rhel)
    rhel.serve(SATELLITE, ca=CA)
    with (
        rhel.current(),
        pytest.raises(DeployError, match="rhsm_server: rhel1 is registered with https://subscr"),
    ):
        subscription.check(wanted, rhel.get_fact(Registration))


def test_another_content_address_needs_no_registration(rhel: Rhel) -> None:
    wanted = _satellite(rhel)
    _trust(wanted)
    rhel.serve(SATELLITE, ca=CA)
    assert rhel.register(wanted) == []
    known = rhel.consumers
    other = _satellite(rhel, rhsm_content="https://cache.example.com/pulp/content")
    assert rhel.register(other, "") == []
    found = rhel.get_fact(Registration)
    assert found.configuration["rhsm.baseurl"] == "https://cache.example.com/pulp/content"
    assert rhel.consumers == known
    assert rhel.register(other, "") == []
    assert rhel.noops == [f"registered as {rhel.identity}"]


def test_content_is_red_hats_unless_set(rhel: Rhel) -> None:
    """Red Hat's CA verifies it, not the server's."""
    _trust(_satellite(rhel))
    rhel.serve(SATELLITE, ca=CA)
    assert rhel.register(_satellite(rhel)) == []
    plain = _satellite(rhel, rhsm_content=None)
    assert rhel.register(plain, "") == []
    found = rhel.get_fact(Registration).configuration
    assert found["rhsm.baseurl"] == "https://cdn.redhat.com"
    assert found["rhsm.repo_ca_cert"] == "/etc/rhsm/ca/redhat-uep.pem"
    assert rhel.register(plain, "") == []
    assert rhel.noops == [f"registered as {rhel.identity}"]


def test_pool_by_its_id(rhel: Rhel) -> None:
    rhel.known()
    wanted = settings(rhsm_user="quay", rhsm_pool=EMPLOYEE)
    assert rhel.perform(subscription.pool_attached, settings=wanted) == []
    assert rhel.consumer["pools"] == [EMPLOYEE]
    assert rhel.perform(subscription.pool_attached, settings=wanted) == []
    assert rhel.noops == [f"attached: {EMPLOYEE}"]


def test_a_pattern_without_a_pool_is_refused_before_anything_is_changed(rhel: Rhel) -> None:
    rhel.known()
    with rhel.current():
        found = rhel.get_fact(Registration)
        wanted = settings(rhsm_user="quay", rhsm_pool_matches="*Nothing*")
        with pytest.raises(DeployError, match="rhsm_pool_matches: no available pool of rhel1"):
            subscription.check(wanted, found)
        subscription.check(settings(rhsm_user="quay", rhsm_pool_matches="*Ceph*"), found)
        subscription.check(settings(rhsm_user="quay", rhsm_pool="deadbeef"), found)


def test_a_pool_that_only_the_server_has_as_attached(rhel: Rhel) -> None:
    """As after a run that was killed before the certificate arrived."""
    rhel.known()
    wanted = settings(rhsm_user="quay", rhsm_pool=EMPLOYEE)
    (command,) = rhel.operate(subscription.pool_attached, settings=wanted)
    rhel.known(EMPLOYEE)
    assert rhel.shell_of(text(command)) == 0


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"rhsm_pool": "deadbeef"}, "rhsm_pool: Subscription pool deadbeef does not exist."),
        (
            {"rhsm_pool_matches": "*Nothing*"},
            "rhsm_pool_matches: no available pool of rhel1 matches *Nothing*",
        ),
    ],
)
def test_unknown_pool(rhel: Rhel, wanted: dict[str, Any], message: str) -> None:
    rhel.known()
    given = settings(rhsm_user="quay", **wanted)
    (line,) = rhel.perform(subscription.pool_attached, settings=given)
    assert line.startswith(message)
    assert rhel.consumer["pools"] == []


def test_release_is_set_and_unset(rhel: Rhel) -> None:
    rhel.known(EMPLOYEE)
    for release, expected in (("7.6", "7.6"), ("7.6", "7.6"), (None, ""), (None, "")):
        assert rhel.perform(subscription.release_locked, release=release) == []
        assert rhel.consumer["release"] == expected
    assert rhel.noops == ["locked to 7.6", "not locked to a release"]
    (line,) = rhel.perform(subscription.release_locked, release="99")
    assert line.startswith("rhsm_release: No releases match '99'.")


def test_exactly_the_given_repositories_are_enabled(rhel: Rhel) -> None:
    rhel.known(EMPLOYEE)
    wanted = ["rhel-7-server-rpms", "rhel-7-server-extras-rpms"]
    assert rhel.perform(subscription.repositories_enabled, ids=wanted) == []
    found = rhel.get_fact(Repositories)
    assert sorted(id for id, enabled in found.items() if enabled) == sorted(wanted)
    assert len(found) == 6
    assert rhel.perform(subscription.repositories_enabled, ids=wanted) == []
    assert rhel.noops == ["enabled: rhel-7-server-extras-rpms, rhel-7-server-rpms"]
    assert rhel.perform(subscription.repositories_enabled, ids=[]) == []
    assert not any(rhel.get_fact(Repositories).values())


@pytest.mark.parametrize("pool", [None, EMPLOYEE], ids=["no pool wanted", "pool attached"])
def test_unknown_repository_is_refused_while_planning(rhel: Rhel, pool: str | None) -> None:
    rhel.known(EMPLOYEE)
    wanted = settings(rhsm_user="quay", rhsm_repositories=["no-such-rpms"], rhsm_pool=pool)
    with rhel.current(), pytest.raises(DeployError, match="rhsm_repositories: rhel1 may not use"):
        subscription.check(wanted, rhel.get_fact(Registration))


def test_repositories_of_a_pool_that_is_not_yet_attached(rhel: Rhel) -> None:
    rhel.known()
    ids = ["rhel-7-server-rpms"]
    wanted = settings(rhsm_user="quay", rhsm_repositories=ids, rhsm_pool=EMPLOYEE)
    with rhel.current():
        subscription.check(wanted, rhel.get_fact(Registration))


def test_an_unknown_repository_changes_nothing(rhel: Rhel) -> None:
    rhel.known(EMPLOYEE)
    ids = ["rhel-7-server-optional-rpms", "no-such-rpms"]
    (line,) = rhel.perform(subscription.repositories_enabled, ids=ids)
    assert line.startswith("rhsm_repositories: rhel1 may not use no-such-rpms; none was enabled")
    assert rhel.consumer["overrides"] == {}


# --- in a run ---


def _lab(lab: Plan, os_id: str = "rhel", **given: Any) -> Plan:
    return make([host("rhel1", **given)], {"rhel1": machine(os_id=os_id)}, lab.store)


@pytest.mark.parametrize(
    ("os_id", "given", "message"),
    [
        ("debian", {"rhsm_organization": "acme"}, "rhel1 is not a RHEL host but debian"),
        ("rocky", {"rhsm_organization": "acme"}, "rhel1 is not a RHEL host but rocky"),
        ("rhel", {}, "stays as it is: rhsm_organization isn't set"),
        ("rhel", {"rhsm_organization": "acme"}, "rhel1 has no subscription-manager"),
    ],
)
def test_left_alone(lab: Plan, os_id: str, given: dict[str, Any], message: str) -> None:
    without = FakeHost(name="rhel1")
    plan = _lab(lab, os_id, **given)
    with without.current():
        reason = subscription.found(plan)
    assert isinstance(reason, str)
    assert message in reason
    assert without.operate(subscription.skipped, reason=reason) == []
    assert without.operate(subscription.unregistered, plan=plan) == []
    assert without.noops == [reason, reason]


def test_a_host_without_the_client_is_asked_while_a_teardown_runs(
    rhel: Rhel, shell: Shell, lab: Plan
) -> None:
    """pyinfra would warn of a fact whose required command is missing then."""
    (shell.stubs / "subscription-manager").unlink()
    assert not Registration().requires_command()
    assert rhel.get_fact(Registration) == Registration.default() == Found(installed=False)
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert rhel.noops == ["no subscription: rhel1 has no subscription-manager"]


def test_no_secret_is_asked_for_when_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "_secret", None)
    monkeypatch.delenv("QUAYLAB_RHSM_ACTIVATION_KEY", raising=False)
    rhel = FakeHost(name="rhel1")
    with rhel.current():
        assert subscription.secret(BY_KEY, Found(True, (1, 29), "uuid", "acme")) == ""
        with pytest.raises(DeployError, match="QUAYLAB_RHSM_ACTIVATION_KEY: not set"):
            subscription.secret(BY_KEY, Found(True, (1, 29)))
        monkeypatch.setenv("QUAYLAB_RHSM_ACTIVATION_KEY", "key")
        assert subscription.secret(BY_KEY, Found(True, (1, 29), void=True)) == "key"


@pytest.mark.parametrize("forgotten", [False, True])
def test_unregistered(rhel: Rhel, lab: Plan, forgotten: bool) -> None:
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert rhel.noops == ["not registered"]
    rhel.known(EMPLOYEE)
    if forgotten:
        rhel.serve(consumers={}, deleted=[UUID])
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert rhel.identity is None
    assert rhel.consumers == {}


def test_a_server_that_is_down_stops_the_run(rhel: Rhel, lab: Plan) -> None:
    rhel.known(EMPLOYEE)
    rhel.serve(faults=["down"])
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    (line,) = rhel.perform(subscription.unregistered, plan=plan)
    assert line.startswith("rhsm_server: rhel1 can't tell whether it is registered")
    assert "Connection error: Connection refused (error code 111)" in line
    with rhel.current():
        found = subscription.found(plan)
        assert isinstance(found, Found)
        with pytest.raises(DeployError, match=r"rhsm_server: rhel1 .* Connection refused"):
            subscription.check(BY_KEY, found)
