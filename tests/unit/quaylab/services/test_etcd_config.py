"""A member of etcd: its variables."""

from __future__ import annotations

import pytest

from quaylab.services import etcd_config

MEMBERS = {"db0": "192.168.254.20", "db1": "192.168.254.21", "db2": "fd00::22"}


def _environment(
    name: str = "db1", client_port: int = 2379, peer_port: int = 2380
) -> dict[str, str]:
    return etcd_config.environment(
        name,
        MEMBERS[name],
        token="quaylab-1",
        leader_key="/service/quaylab/leader",
        client_port=client_port,
        peer_port=peer_port,
    )


def test_a_member_is_known_by_its_address() -> None:
    found = _environment()
    assert found["ETCD_NAME"] == "db1"
    assert found["ETCD_ADVERTISE_CLIENT_URLS"] == "https://192.168.254.21:2379"
    assert found["ETCD_INITIAL_ADVERTISE_PEER_URLS"] == "https://192.168.254.21:2380"


def test_all_members_name_the_same_cluster() -> None:
    assert etcd_config.members(MEMBERS)["ETCD_INITIAL_CLUSTER"] == (
        "db0=https://192.168.254.20:2380,db1=https://192.168.254.21:2380,db2=https://[fd00::22]:2380"
    )


def test_published_ports_are_advertised_and_inside_ports_stay() -> None:
    found = _environment(client_port=12379, peer_port=12380)
    assert found["ETCD_ADVERTISE_CLIENT_URLS"].endswith(":12379")
    assert found["ETCD_INITIAL_ADVERTISE_PEER_URLS"].endswith(":12380")
    assert found["ETCD_LISTEN_CLIENT_URLS"] == "https://0.0.0.0:2379"
    assert found["ETCD_LISTEN_PEER_URLS"] == "https://0.0.0.0:2380"
    endpoints = etcd_config.members(MEMBERS, client_port=12379)["ETCDCTL_ENDPOINTS"].split(",")
    assert endpoints[2] == "https://[fd00::22]:12379"


@pytest.mark.parametrize("prefix", ["ETCD", "ETCD_PEER"])
def test_nobody_gets_in_without_a_certificate(prefix: str) -> None:
    found = _environment()
    assert found[f"{prefix}_CLIENT_CERT_AUTH"] == "true"
    assert found[f"{prefix}_TRUSTED_CA_FILE"] == "/etc/quaylab/ca.pem"
    assert found[f"{prefix}_CERT_FILE"] == "/etc/quaylab/member.pem"


def test_the_initial_state_is_left_to_run_etcd() -> None:
    """Else the file of a replaced member would differ from run to run."""
    assert "ETCD_INITIAL_CLUSTER_STATE" not in _environment()
