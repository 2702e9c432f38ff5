"""Quay on a machine of its own; database and Redis elsewhere, over TLS only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from quaylab.clients.database_administrator import VARIABLE
from tests.authority import Authority
from tests.leaks import leaked
from tests.machine.deployment import ADMIN, HOSTNAME, Deployment
from tests.machine.machines import Machine, MachineFactory, Operator, Result
from tests.machine.observed import containers
from tests.machine.registry_client import RegistryClient
from tests.machine.servers_elsewhere import ADMIN as PROVIDER
from tests.machine.servers_elsewhere import (
    ADMIN_PASSWORD,
    NAME,
    OTHER_NAME,
    REDIS_PASSWORD,
    Servers,
    resolve,
)

MAKE = "tasks/database.py | Create Quay's database on its external server"
GIVEN = {"QUAYLAB_REDIS_PASSWORD": REDIS_PASSWORD, VARIABLE: ADMIN_PASSWORD}
# Every run writes into these folders.
FOLDERS = "/etc/quaylab /var/lib/quaylab /etc/docker/certs.d"


@dataclass(frozen=True)
class Elsewhere:
    """The servers, and the machine that Quay is deployed to."""

    servers: Servers
    quay: Machine
    operator: Operator
    folder: Path

    def lab(self, name: str, **settings: object) -> Deployment:
        folder = self.folder / name
        authority = str(self.folder / "ca.pem")
        usual = {"database_host": NAME, "database_ca": authority, "database_admin": PROVIDER}
        usual |= {"redis_host": NAME, "redis_ca": authority}
        return Deployment.of(self.operator, folder, {"quay": [self.quay]}, **{**usual, **settings})


def _run(lab: Deployment, *arguments: str, **given: str) -> Result:
    return lab.operator.pyinfra(lab.inventory, "deploy.py", *arguments, env={**GIVEN, **given})


@pytest.fixture(scope="module")
def elsewhere(
    machine_factory: MachineFactory,
    operator: Operator,
    images: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Elsewhere]:
    folder = tmp_path_factory.mktemp("elsewhere")
    authority = Authority.new()
    authority.save(folder / "ca.pem")
    Authority.new("Another CA").save(folder / "another.pem")
    Authority.new(days=-1).save(folder / "expired.pem")
    machine, quay = (machine_factory(name, "stocked") for name in ("services", "quay"))
    resolve(machine, quay)
    servers = Servers(machine, images, authority)
    servers.start()
    yield Elsewhere(servers, quay, operator, folder)
    for each in (machine, quay):
        each.destroy()


@pytest.fixture(scope="module")
def lab(elsewhere: Elsewhere) -> Iterator[Deployment]:
    lab = elsewhere.lab("postgresql")
    yield lab
    lab.forget()


@pytest.mark.parametrize(
    ("data", "given", "messages"),
    [
        (
            {"database_ca": "another.pem", "redis_ca": "another.pem"},
            {},
            [
                "is signed by a CA that database_ca doesn't",
                "is signed by a CA that redis_ca doesn't",
            ],
        ),
        pytest.param(
            {"database_ca": "expired.pem", "redis_ca": "expired.pem"},
            {},
            ["database_ca: ", "redis_ca: "],
            marks=pytest.mark.long,  # tests/unit has it: no server is asked
        ),
        (
            {"database_host": OTHER_NAME, "redis_host": OTHER_NAME},
            {},
            [f"not valid for '{OTHER_NAME}'", f"not valid for '{OTHER_NAME}'"],
        ),
        (
            {"database_port": 1, "redis_port": 1},
            {},
            ["nothing listens there", "nothing listens there"],
        ),
        (
            {},
            {VARIABLE: "not-this-one", "QUAYLAB_REDIS_PASSWORD": "not-this-one"},
            [f'password authentication failed for user "{PROVIDER}"', "QUAYLAB_REDIS_PASSWORD"],
        ),
        ({}, {VARIABLE: ""}, [f"give it as {VARIABLE} in the environment"]),
    ],
    ids=["CA", "expired CA", "name", "nobody there", "passwords", "no password"],
)
def test_refused_in_one_line_each_before_quay_is_touched(
    elsewhere: Elsewhere,
    lab: Deployment,
    data: dict[str, object],
    given: dict[str, str],
    messages: list[str],
) -> None:
    values = {
        key: elsewhere.folder / str(value) if key.endswith("_ca") else value
        for key, value in data.items()
    }
    refused = _run(lab, *(f"--data={key}={value}" for key, value in values.items()), **given)
    _assert_refused(refused, messages)
    assert containers(elsewhere.quay) == {}
    elsewhere.quay.run(f"for each in {FOLDERS}; do test ! -e $each || exit 1; done")
    assert not lab.store.exists


def test_expired_certificates_are_reported(elsewhere: Elsewhere, lab: Deployment) -> None:
    elsewhere.servers.recertify(NAME, days=-1)
    try:
        refused = _run(lab)
    finally:
        elsewhere.servers.recertify(NAME)
    _assert_refused(refused, ["its certificate has expired"])
    assert containers(elsewhere.quay) == {}


def test_services_that_take_tls_only_are_reported(elsewhere: Elsewhere) -> None:
    plain = elsewhere.lab("plain", database_engine="mysql", database_ca=None, redis_ca=None)
    _assert_refused(
        _run(plain),
        ["it takes TLS only: set database_ca", "the server requires TLS (set redis_ca)"],
    )
    assert containers(elsewhere.quay) == {}
    plain.forget()


def _assert_refused(result: Result, messages: list[str]) -> None:
    assert result.returncode != 0
    assert "Traceback" not in result.output
    lines = [line for line in result.output.splitlines() if line.startswith("  - ")]
    assert len(lines) == len(messages), result.output
    for line, message in zip(lines, messages, strict=True):
        assert message in line


def test_dry_run_plans_what_the_administrator_creates(lab: Deployment) -> None:
    assert MAKE in [name for name, _ in _run(lab, "--dry").planned()]
    assert not lab.store.exists


def test_administrator_creates_what_quay_needs(
    elsewhere: Elsewhere, lab: Deployment, images: dict[str, str]
) -> None:
    first = _run(lab, "-vvv", "--diff").check()
    assert MAKE in [name for name, _ in first.changed()]
    administrator = {"password": ADMIN_PASSWORD}
    assert leaked(administrator, first.output + lab.store.path.read_text()) == []
    assert leaked(lab.secrets, first.output) == []
    owner = "SELECT pg_get_userbyid(datdba), rolsuper FROM pg_database, pg_roles "
    owner += "WHERE datname = 'quay' AND rolname = 'quay'"
    assert elsewhere.servers.sql(owner) == "quay|f\n"

    client = RegistryClient(elsewhere.servers.machine, HOSTNAME)
    client.know(elsewhere.quay.address)
    client.trust(lab.ca)
    assert client.login(ADMIN, lab.password).returncode == 0
    client.push(images["redis"], f"{ADMIN}/redis:1")
    assert client.pull(f"{ADMIN}/redis:1")


def test_second_run_changes_nothing_and_needs_no_administrator(lab: Deployment) -> None:
    again = _run(lab, **{VARIABLE: ""})
    assert again.changed() == []
    assert len(again.unchanged()) > 10


def test_hosts_pass_their_own_tests(lab: Deployment) -> None:
    lab.verify()


def test_lost_password_is_set_again(elsewhere: Elsewhere, lab: Deployment) -> None:
    elsewhere.servers.sql("ALTER ROLE quay PASSWORD 'another'")
    refused = _run(lab, **{VARIABLE: ""})
    _assert_refused(refused, [f"give it as {VARIABLE} in the environment"])
    assert [name for name, _ in _run(lab).changed()] == [MAKE]


def test_a_service_that_only_the_host_reaches_is_reported_before_quay_is_started(
    elsewhere: Elsewhere, lab: Deployment
) -> None:
    lab.run("tasks/teardown.py").check()
    rule = f"DOCKER-USER -p tcp -d {elsewhere.servers.machine.address} --dport 6379 -j REJECT"
    elsewhere.quay.run(f"iptables -I {rule}")
    try:
        refused = _run(lab, **{VARIABLE: ""})
    finally:
        elsewhere.quay.run(f"iptables -D {rule}")
    assert refused.returncode != 0
    assert f"Redis at {NAME}:6379: " in refused.output
    assert "reaches it, but its containers don't: " in refused.output
    assert containers(elsewhere.quay) == {}
    _run(lab, **{VARIABLE: ""}).check()


def test_mariadb(elsewhere: Elsewhere, lab: Deployment) -> None:
    lab.run("tasks/teardown.py", f"--data=purge={HOSTNAME}").check()
    other = elsewhere.lab("mariadb", database_engine="mysql")
    try:
        another = elsewhere.folder / "another.pem"
        refused = _run(other, f"--data=database_ca={another}")
        _assert_refused(refused, ["is signed by a CA that database_ca doesn't hold"])
        refused = _run(other, f"--data=database_host={OTHER_NAME}")
        _assert_refused(refused, [f"not valid for '{OTHER_NAME}'"])
        assert containers(elsewhere.quay) == {}

        assert MAKE in [name for name, _ in _run(other).changed()]
        assert _run(other, **{VARIABLE: ""}).changed() == []
    finally:
        other.forget()
