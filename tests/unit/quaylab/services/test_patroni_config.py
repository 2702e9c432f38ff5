"""Patroni: a member's file, and the settings of the cluster."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from quaylab.services import patroni_config
from quaylab.services.patroni_config import Configuration, Passwords, Ports
from quaylab.upgrade.dumps import SCRATCH
from tests.unit.samples import ROOT, settings

MEMBERS = {"db0": "192.168.254.20", "db1": "192.168.254.21", "db2": "fd00::22"}
PASSWORDS = Passwords(SecretStr("copy"), SecretStr("back"), SecretStr("change"))


def _configuration(name: str = "db0", **changes: Any) -> Configuration:
    arguments = {"database": "quay", "user": "quay", "is_founder": name == "db0", **changes}
    return patroni_config.configuration(name, MEMBERS, PASSWORDS, **arguments)


def test_the_file_is_yaml() -> None:
    wanted = _configuration()
    assert yaml.safe_load(patroni_config.render(wanted)) == wanted


def test_only_the_founder_can_make_a_cluster() -> None:
    assert [name for name in MEMBERS if "bootstrap" in _configuration(name)] == ["db0"]


def test_a_member_is_reached_at_published_ports() -> None:
    found = _configuration("db2", ports=Ports(database=5433, api=8009, etcd=2479))
    assert found["postgresql"]["connect_address"] == "[fd00::22]:5433"
    assert found["restapi"]["connect_address"] == "[fd00::22]:8009"
    assert found["etcd3"]["hosts"] == [
        "192.168.254.20:2479",
        "192.168.254.21:2479",
        "[fd00::22]:2479",
    ]
    assert found["postgresql"]["listen"] == "*:5432"
    assert found["restapi"]["listen"] == "0.0.0.0:8008"


def test_who_comes_over_the_network_needs_tls_and_a_password() -> None:
    lines = _configuration(database="all", user="all")["postgresql"]["pg_hba"]
    remote = [line for line in lines if not line.startswith("local")]
    assert all(line.startswith("hostssl") and line.endswith("scram-sha-256") for line in remote)
    assert 'hostssl "all" "all" all scram-sha-256' in remote


def test_quays_role_restores_a_dump_inside_the_container() -> None:
    lines = _configuration(user="quay")["postgresql"]["pg_hba"]
    assert f'hostssl "{SCRATCH}" "quay" 127.0.0.1/32 scram-sha-256' in lines


def test_the_superuser_has_no_password() -> None:
    found = _configuration()["postgresql"]
    assert found["authentication"]["superuser"] == {"username": "postgres"}
    assert [line for line in found["pg_hba"] if " postgres " in line.partition("all")[2]] == [
        "local all postgres peer"
    ]


def test_members_verify_each_other() -> None:
    found = _configuration()
    for role in ("replication", "rewind"):
        assert found["postgresql"]["authentication"][role]["sslmode"] == "verify-full"
    assert found["ctl"] == {"cacert": "/etc/quaylab/ca.pem"}
    assert found["etcd3"]["protocol"] == "https"


def test_the_database_outlives_etcd() -> None:
    assert patroni_config.dynamic_settings()["failsafe_mode"] is True


def test_a_leader_that_is_lost_while_it_writes_fast_has_a_successor() -> None:
    """The quorum has what was acknowledged; the limit is for those that replicate without one."""
    found = patroni_config.dynamic_settings()
    assert found["synchronous_mode"] == "quorum"
    assert found["maximum_lag_on_failover"] >= 1024**4


def test_a_member_that_copies_nothing_does_not_fill_the_leaders_disk() -> None:
    parameters = patroni_config.dynamic_settings()["postgresql"]["parameters"]
    size = int(parameters["max_slot_wal_keep_size"].removesuffix("GB"))
    assert size * 1024 < settings().minimum_disk_mb


def test_a_copy_does_not_wait_for_a_slow_checkpoint() -> None:
    assert _configuration()["postgresql"]["basebackup"] == {"checkpoint": "fast"}


def test_patroni_accepts_the_times() -> None:
    found = patroni_config.dynamic_settings()
    assert found["ttl"] >= 20
    assert found["loop_wait"] + 2 * found["retry_timeout"] <= found["ttl"]


@pytest.mark.parametrize("role", [patroni_config.REPLICATION, patroni_config.REWIND])
def test_the_images_roles_are_those_of_the_file(role: str) -> None:
    assert f"ALTER ROLE {role} " in (ROOT / "images/patroni/roles.sql").read_text()


def test_what_the_cluster_has_already_is_no_change() -> None:
    wanted = patroni_config.dynamic_settings()
    assert patroni_config.changes(wanted, wanted) == {}
    assert patroni_config.changes(wanted, {**wanted, "pause": True}) == {}


def test_only_what_differs_is_changed() -> None:
    wanted, found = patroni_config.dynamic_settings(), patroni_config.dynamic_settings()
    found["postgresql"]["parameters"]["max_connections"] = 100
    assert patroni_config.changes(wanted, {**found, "ttl": 30}) == {
        "ttl": 20,
        "postgresql": {"parameters": {"max_connections": 300}},
    }
    assert patroni_config.changes({"a": {"b": 1}}, {"a": None}) == {"a": {"b": 1}}


def test_a_higher_limit_of_connections_stays() -> None:
    wanted, found = patroni_config.dynamic_settings(), patroni_config.dynamic_settings()
    found["postgresql"]["parameters"]["max_connections"] = 1000
    assert patroni_config.changes(wanted, found) == {}
