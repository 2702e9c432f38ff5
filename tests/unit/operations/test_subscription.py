"""The operations, whose commands and facts run for real against the double of the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import DeployError

from facts.subscription import AttachedPools, Registration, Repositories
from operations import subscription
from quaylab.plan import Plan, make
from quaylab.settings import Settings
from quaylab.subscription import Registration as Found
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import ROOT, host, machine, settings
from tests.unit.shell import Shell

DOUBLE = ROOT / "tests" / "machine" / "subscription" / "subscription-manager"
EMPLOYEE = "8a85f9833e1404a9013e3cddf95a0599"
BY_KEY = settings(rhsm_organization="acme")
BY_PASSWORD = settings(rhsm_user="quay")


class Rhel(FakeHost):
    """A host whose facts and commands are run here, by the double."""

    def __init__(self, shell: Shell, state: Path) -> None:
        super().__init__(name="rhel1")
        self._shell = shell
        self._state = state
        (shell.stubs / "subscription-manager").symlink_to(DOUBLE)

    def get_fact(self, fact: type[Any], **arguments: Any) -> Any:
        return fact().process(self._shell.lines(fact().command(**arguments)))

    def set(self, **changes: Any) -> None:
        self._state.write_text(json.dumps({**self.state, **changes}))

    def shell_of(self, command: str) -> int:
        return self._shell.run(command).returncode

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._state.read_text()) if self._state.exists() else {}
        return found

    @property
    def consumer(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state["consumers"][self.state["identity"]]
        return found

    def perform(self, operation: Any, **arguments: Any) -> list[str]:
        """Run an operation's commands, each before the next is made; what failed of them said."""
        failed: list[str] = []
        with self.current():
            commands: Iterator[Any] = operation._inner(**arguments)
            for command in commands:
                given = stdin(command) if "_stdin" in command.connector_arguments else None
                done = self._shell.run(text(command), given)
                assert done.stdout == ""
                if done.returncode:
                    failed.append(done.stderr.strip())
                    break
        return failed

    def known(self, *pools: str) -> None:
        """Registered, with these pools."""
        consumer = {"name": "rhel1", "org": "acme", "pools": pools, "overrides": {}, "release": ""}
        self.set(identity="0123", consumers={"0123": consumer})

    def register(self, how: Settings = BY_KEY, secret: str = "quay-key") -> list[str]:
        return self.perform(subscription.registered, settings=how, secret=secret)


@pytest.fixture
def rhel(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rhel:
    state = tmp_path / "state.json"
    monkeypatch.setenv("SUBSCRIPTION_DOUBLE", str(state))
    return Rhel(shell, state)


@pytest.mark.parametrize("version", ["1.24.54-1.el7", "1.29.40-1.el9"])
def test_facts_before_and_after(rhel: Rhel, version: str) -> None:
    rhel.set(version=version)
    found = rhel.get_fact(Registration)
    assert found == Found(True, (1, int(version[2:4])))
    assert rhel.get_fact(Repositories) == {}
    assert rhel.get_fact(AttachedPools).attached == ()

    assert rhel.register() == []
    found = rhel.get_fact(Registration)
    assert (found.identity, found.organization) == (rhel.state["identity"], "acme")
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
    rhel.set(version=version, consumers={})
    assert rhel.get_fact(Registration).deleted
    assert rhel.register() == []
    assert rhel.consumer["org"] == "acme"


def test_registered_although_it_ended_with_70(rhel: Rhel) -> None:
    rhel.set(faults=["profile"])
    assert rhel.register() == []
    assert rhel.register() == []
    assert rhel.noops == [f"registered as {rhel.state['identity']}"]


@pytest.mark.parametrize(
    ("how", "secret", "told"),
    [
        ({"rhsm_user": "quay"}, "hunter2", "rhsm_user: Invalid Credentials"),
        ({"rhsm_user": "admin", "rhsm_organization": "nope"}, "secret", "nope does not exist"),
        ({"rhsm_user": "admin"}, "secret", "--org is a required parameter"),
        ({"rhsm_user": "noorg"}, "x", "noorg cannot register with any organizations."),
        ({"rhsm_organization": "acme"}, "hunter2", "rhsm_organization: None of the activation"),
    ],
    ids=["password", "organization", "no organization", "in none", "key"],
)
def test_refused_registration(rhel: Rhel, how: dict[str, Any], secret: str, told: str) -> None:
    (line,) = rhel.register(settings(**how), secret)
    assert told in line
    assert "\n" not in line
    assert "hunter2" not in line
    assert rhel.state.get("identity") is None


def test_the_secret_goes_in_by_standard_input(rhel: Rhel) -> None:
    (command,) = rhel.operate(subscription.registered, settings=BY_PASSWORD, secret="hunter2")
    assert "hunter2" not in text(command)
    assert stdin(command) == "hunter2\n"


def test_pool_by_its_id(rhel: Rhel) -> None:
    rhel.known()
    wanted = settings(rhsm_user="quay", rhsm_pool=EMPLOYEE)
    assert rhel.perform(subscription.pool_attached, settings=wanted) == []
    assert rhel.consumer["pools"] == [EMPLOYEE]
    assert rhel.perform(subscription.pool_attached, settings=wanted) == []
    assert rhel.noops == [f"attached: {EMPLOYEE}"]


def test_pool_that_only_the_server_knows_to_be_attached(rhel: Rhel) -> None:
    """As a run leaves it that is killed before the certificate is there."""
    rhel.known()
    wanted = settings(rhsm_user="quay", rhsm_pool=EMPLOYEE)
    (command,) = rhel.operate(subscription.pool_attached, settings=wanted)
    rhel.known(EMPLOYEE)
    assert rhel.shell_of(text(command)) == 0


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"rhsm_pool": "deadbeef"}, "rhsm_pool: Subscription pool deadbeef does not exist."),
        (
            {"rhsm_pool_matches": "*Nothing*"},
            "rhsm_pool_matches: no available pool of rhel1 matches *Nothing*",
        ),
    ],
)
def test_unknown_pool(rhel: Rhel, wanted: dict[str, Any], told: str) -> None:
    rhel.known()
    given = settings(rhsm_user="quay", **wanted)
    (line,) = rhel.perform(subscription.pool_attached, settings=given)
    assert line.startswith(told)
    assert rhel.consumer["pools"] == []


def test_release_is_set_and_unset(rhel: Rhel) -> None:
    rhel.known(EMPLOYEE)
    for release, kept in (("7.6", "7.6"), ("7.6", "7.6"), (None, ""), (None, "")):
        assert rhel.perform(subscription.release_locked, release=release) == []
        assert rhel.consumer["release"] == kept
    assert rhel.noops == ["locked to 7.6", "not locked to a release"]
    (line,) = rhel.perform(subscription.release_locked, release="99")
    assert line.startswith("rhsm_release: No releases match '99'.")


def test_repositories_are_just_those(rhel: Rhel) -> None:
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


def test_unknown_repository_changes_none(rhel: Rhel) -> None:
    rhel.known(EMPLOYEE)
    ids = ["rhel-7-server-optional-rpms", "no-such-rpms"]
    (line,) = rhel.perform(subscription.repositories_enabled, ids=ids)
    assert line.startswith("rhsm_repositories: rhel1 may not use no-such-rpms; none was enabled")
    assert rhel.consumer["overrides"] == {}


# --- the run around them ---


def _lab(lab: Plan, os_id: str = "rhel", **given: Any) -> Plan:
    return make([host("rhel1", **given)], {"rhel1": machine(os_id=os_id)}, lab.store)


@pytest.mark.parametrize(
    ("os_id", "given", "told"),
    [
        ("debian", {"rhsm_organization": "acme"}, "rhel1 is no RHEL host but debian"),
        ("rocky", {"rhsm_organization": "acme"}, "rhel1 is no RHEL host but rocky"),
        ("rhel", {}, "stays as it is: rhsm_organization isn't set"),
        ("rhel", {"rhsm_organization": "acme"}, "rhel1 has no subscription-manager"),
    ],
)
def test_left_alone(lab: Plan, os_id: str, given: dict[str, Any], told: str) -> None:
    without = FakeHost(name="rhel1")
    plan = _lab(lab, os_id, **given)
    with without.current():
        reason = subscription.found(plan)
    assert isinstance(reason, str)
    assert told in reason
    assert without.operate(subscription.left_alone, reason=reason) == []
    assert without.operate(subscription.unregistered, plan=plan) == []
    assert without.noops == [reason, reason]


def test_no_secret_is_asked_for_when_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "_secret", None)
    monkeypatch.delenv("QUAYLAB_RHSM_ACTIVATION_KEY", raising=False)
    rhel = FakeHost(name="rhel1")
    with rhel.current():
        assert subscription.secret(BY_KEY, Found(True, (1, 29), "uuid", "acme")) == ""
        with pytest.raises(DeployError, match="QUAYLAB_RHSM_ACTIVATION_KEY: not set"):
            subscription.secret(BY_KEY, Found(True, (1, 29)))
        monkeypatch.setenv("QUAYLAB_RHSM_ACTIVATION_KEY", "key")
        assert subscription.secret(BY_KEY, Found(True, (1, 29), deleted=True)) == "key"


@pytest.mark.parametrize("forgotten", [False, True])
def test_unregistered(rhel: Rhel, lab: Plan, forgotten: bool) -> None:
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert rhel.noops == ["not registered"]
    rhel.known(EMPLOYEE)
    if forgotten:
        rhel.set(consumers={})
    assert rhel.perform(subscription.unregistered, plan=plan) == []
    assert rhel.state["identity"] is None
    assert rhel.state["consumers"] == {}


def test_a_server_that_is_down_stops_the_run(rhel: Rhel, lab: Plan) -> None:
    rhel.known(EMPLOYEE)
    rhel.set(faults=["unreachable"])
    plan = _lab(lab, rhsm_organization="acme", rhsm_unregister=True)
    (line,) = rhel.perform(subscription.unregistered, plan=plan)
    assert line.startswith("rhsm_unregister: Unable to reach the server")
    with rhel.current():
        found = subscription.found(plan)
        assert isinstance(found, Found)
        with pytest.raises(DeployError, match="can't tell whether it is registered: Unable to"):
            subscription.secret(BY_KEY, found)
