"""A member of the database's cluster: its container, its files, and the digest that tells them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from quaylab.engines import DOCKER
from quaylab.model import ManagedFile
from quaylab.secrets.credentials import Credentials
from quaylab.services import BY_NAME, database, patroni
from quaylab.services.base import Audience, Context
from tests.leaks import leaked, secrets_of
from tests.unit import clustered, states
from tests.unit.clustered import HOSTS, ONE, THREE, TWO, workload
from tests.unit.samples import one_host, settings
from tests.unit.samples import workload as single

CREDENTIALS = clustered.credentials()
SECRETS = secrets_of(CREDENTIALS)


def _run(given: Credentials = CREDENTIALS, **changes: Any) -> Context:
    return clustered.run(given=given, **changes)


def _file(files: tuple[ManagedFile, ...], name: str) -> ManagedFile:
    (found,) = (each for each in files if each.path == f"/etc/quaylab/database/{name}")
    return found


def _configuration(run: Context, name: str = ONE) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_file(patroni.files(run, name), "patroni.yml").content)
    return found


# --- the container ---


def test_patroni_is_built_on_the_databases_image() -> None:
    base, member = BY_NAME["database"].images(_run(), ONE)
    assert base == database.image(settings())
    assert member.reference.startswith("quaylab/patroni:c9s-")
    assert dict(member.arguments) == {"BASE": base.reference}
    assert workload("database", _run()).container.image == member.reference


def test_a_single_databases_volume_is_a_members() -> None:
    before, after = single("database").volume, workload("database", _run()).volume
    assert before and after
    assert dataclasses.replace(after, is_replicated=False) == before
    assert after.is_replicated


def test_patroni_is_process_1_and_gets_time_to_hand_over() -> None:
    container = workload("database", _run()).container
    assert container.command == ("run-patroni",)
    assert container.stop_timeout == 60


@pytest.mark.parametrize(
    ("changes", "ports"),
    [
        ({}, ["192.168.254.51:5432:5432", "192.168.254.51:8008:8008"]),
        (
            {"database_port": 5433, "patroni_port": 8009},
            ["192.168.254.51:5433:5432", "192.168.254.51:8009:8008"],
        ),
    ],
    ids=str,
)
def test_members_and_quay_reach_it_at_its_address(
    changes: dict[str, Any], ports: list[str]
) -> None:
    run = _run(**changes)
    found = BY_NAME["database"].ports(run, ONE)
    assert [str(port.published) for port in found] == ports
    assert {port.audience for port in found} == {Audience.DATABASE_AND_QUAY}
    assert [str(port) for port in workload("database", run).container.ports] == ports


def _changed(key: str) -> Credentials:
    return CREDENTIALS.model_copy(update={key: SecretStr("changed-password")})


@pytest.mark.parametrize(
    "key", ["database_password", "replication_password", "rewind_password", "patroni_password"]
)
def test_a_new_password_replaces_no_container(key: str) -> None:
    before, after = (workload("database", _run(given)) for given in (CREDENTIALS, _changed(key)))
    assert after.container == before.container
    assert after.files != before.files


def test_a_new_certificate_replaces_no_container() -> None:
    after = workload("database", _run(clustered.credentials()))
    assert after.container == workload("database", _run()).container


def test_members_on_all_hosts_differ_by_their_address_alone() -> None:
    one, two = (workload("database", _run(), name).container for name in (ONE, TWO))
    assert dataclasses.replace(two, ports=one.ports) == one


# --- what is secret ---


def test_secrets_are_in_files_of_the_servers_user_alone() -> None:
    found = workload("database", _run())
    assert {file.path.rpartition("/")[2]: (file.uid, file.mode) for file in found.files} == {
        "environment": (26, 0o400),
        "ca.pem": (26, 0o400),
        "member.pem": (26, 0o400),
        "member.key": (26, 0o400),
        "patroni.yml": (26, 0o400),
    }


@pytest.mark.parametrize("service", ["database", "etcd", "router", "redis"])
def test_no_secret_is_on_a_command_line_or_in_a_label(service: str) -> None:
    found = workload(service, _run())
    shown = [
        DOCKER.run(found.container),
        found.password_refused,
        repr(found),
        found.image.reference,
    ]
    if found.volume:
        shown.append(DOCKER.create_volume(found.volume))
    for text in shown:
        assert leaked(SECRETS, text) == []


def test_the_key_is_in_no_file_but_its_own() -> None:
    key = CREDENTIALS.database_certificate_key
    assert key
    for name in ("etcd", "database"):
        holders = [
            file.path
            for file in workload(name, _run()).files
            if key.get_secret_value() in file.content
        ]
        assert holders == [f"/etc/quaylab/{name}/member.key"]


# --- the digest that Patroni tells ---


def _digests(run: Context) -> list[str]:
    return [patroni.wanted_digest(run, name) for name in HOSTS[:3]]


def test_the_digest_is_the_same_in_every_run_and_each_members_own() -> None:
    assert _digests(_run()) == _digests(_run())
    assert len(set(_digests(_run()))) == 3
    assert _configuration(_run())["tags"] == {"quaylab": _digests(_run())[0]}


@pytest.mark.parametrize(
    "key", ["database_password", "replication_password", "rewind_password", "patroni_password"]
)
def test_the_digest_changes_with_each_password(key: str) -> None:
    assert not set(_digests(_run(_changed(key)))) & set(_digests(_run()))


@pytest.mark.parametrize(
    "changes",
    [
        {"database_port": 5433},
        {"patroni_port": 8009},
        {"etcd_port": 2479},
        {"database_name": "registry"},
        {"database_user": "registry"},
    ],
    ids=str,
)
def test_the_digest_changes_with_the_configuration(changes: dict[str, Any]) -> None:
    assert not set(_digests(_run(**changes))) & set(_digests(_run()))


def test_the_digest_changes_with_the_certificate() -> None:
    renewed = clustered.credentials()
    fields = ("database_certificate", "database_certificate_key")
    given = CREDENTIALS.model_copy(update={key: getattr(renewed, key) for key in fields})
    assert not set(_digests(_run(given))) & set(_digests(_run()))


def test_the_digest_changes_with_the_ca() -> None:
    given = CREDENTIALS.model_copy(update={"ca_certificate": "another CA"})
    assert not set(_digests(_run(given))) & set(_digests(_run()))


def test_what_replaces_a_container_is_none_of_the_digest() -> None:
    assert _digests(_run(container_log_size="20m", redis_port=6380)) == _digests(_run())


def test_the_digest_is_no_help_in_guessing_a_password() -> None:
    """Everybody may ask Patroni for it: only who has the registry's key can compute it."""
    other = CREDENTIALS.model_copy(update={"database_secret_key": SecretStr("another key")})
    assert not set(_digests(_run(other))) & set(_digests(_run()))


# --- its files ---


def test_the_first_host_founds_the_cluster() -> None:
    assert [name for name in HOSTS[:3] if "bootstrap" in _configuration(_run(), name)] == [ONE]


def test_members_know_each_other_by_names_and_addresses() -> None:
    hosts = clustered.inventory()
    hosts[1] = dataclasses.replace(hosts[1], name="@ssh/two")
    where = clustered.layout(hosts)
    reports = {name: clustered.report(ONE) for name in where.engine_hosts()}
    run = clustered.run(where, CREDENTIALS, machines=reports)
    assert _configuration(run, "@ssh/two")["name"] == "_ssh_two"
    assert _configuration(run, THREE)["etcd3"]["hosts"] == [
        "192.168.254.51:2379",
        "192.168.254.52:2379",
        "192.168.254.53:2379",
    ]


def test_configured_ports_are_the_advertised_ones() -> None:
    found = _configuration(_run(database_port=5433, patroni_port=8009, etcd_port=2479), TWO)
    assert found["postgresql"]["connect_address"] == "192.168.254.52:5433"
    assert found["restapi"]["connect_address"] == "192.168.254.52:8009"
    assert found["etcd3"]["hosts"][0] == "192.168.254.51:2479"


def test_the_environment_has_what_set_roles_reads() -> None:
    content = _file(patroni.files(_run(), TWO), "environment").content
    assert [line.partition("=")[0] for line in content.splitlines()] == [
        "POSTGRESQL_USER",
        "POSTGRESQL_PASSWORD",
        "POSTGRESQL_DATABASE",
        "REPLICATION_PASSWORD",
        "REWIND_PASSWORD",
    ]


# --- what clients notice ---


def _notice(**changes: Any) -> str:
    """Return what is announced while a container of that kind runs on the first host."""
    wanted = workload("database", _run()).container
    found = states.engine(wanted, **changes)
    machines = {name: clustered.report(name) for name in HOSTS[:3]}
    machines[ONE] = dataclasses.replace(machines[ONE], state=found)
    return workload("database", _run(machines=machines)).interruption


def test_another_member_leads_meanwhile() -> None:
    assert _notice(digest="older") == (
        "another member leads the database instead; writes wait for 3 to 4 seconds"
    )


def test_a_single_database_that_becomes_a_member_says_so() -> None:
    command = single("database").container.command
    assert _notice(command=command) == (
        "it becomes the first member of a cluster, and Quay's writes wait until a second one has "
        "its data"
    )


def test_one_host_has_no_patroni() -> None:
    assert one_host().database_members == ()
    assert single("database").container.command != patroni.COMMAND
