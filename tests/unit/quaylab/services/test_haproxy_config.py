"""haproxy.cfg: what was measured with real nodes stays, and what a change of it is known by."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.services import haproxy_config
from quaylab.services.quay_nodes import Node

NODES = (
    Node("quay1.example.com", 1, "192.168.254.31", 8443),
    Node("quay1.example.com", 2, "192.168.254.31", 8444),
    Node("quay2.example.com", 1, "192.168.254.32", 8443),
)
ARGUMENTS: dict[str, Any] = {
    "nodes": NODES,
    "hostname": "registry.example.com",
    "source": "192.168.254.21",
    "ports": (443, 80, 8404),
    "directory": "/etc/quaylab/balancer",
    "certificates": ("certificate and key", "authority"),
}


def _render(**changes: Any) -> str:
    return haproxy_config.render(**{**ARGUMENTS, **changes})


def _section(name: str, **changes: Any) -> list[str]:
    """Return the lines of a section, without comments and indentation."""
    sections = _render(**changes).split("\n\n")
    (found,) = (each for each in sections if each.splitlines()[0] == name)
    lines = [line.strip() for line in found.splitlines()[1:]]
    return [line for line in lines if not line.startswith("#")]


# --- what was measured ---


@pytest.mark.parametrize(
    "line",
    [
        "timeout connect 1s",
        "timeout http-request 30s",
        "timeout queue 10s",
        "timeout client 2000s",
        "timeout server 2000s",
        "option srvtcpka",
        "srvtcpka-idle 2s",
        "srvtcpka-intvl 1s",
        "srvtcpka-cnt 3",
        "retries 3",
        "option redispatch 1",
        "retry-on conn-failure empty-response response-timeout 502 503",
        "load-server-state-from-file global",
    ],
)
def test_a_lost_node_is_noticed_and_another_one_asked(line: str) -> None:
    assert line in _section("defaults")


@pytest.mark.parametrize(
    "line",
    [
        "balance leastconn",
        "option httpchk",
        "http-check send meth GET uri /health/instance ver HTTP/1.1 hdr Host registry.example.com",
        "http-check expect status 200",
        "default-server check inter 1s fastinter 500ms downinter 1s fall 2 rise 2",
    ],
)
def test_nodes_are_asked_for_their_own_health(line: str) -> None:
    assert line in _section("backend quay")


def test_states_outlive_a_reload() -> None:
    """And the previous process ends, though a client may never do."""
    lines = _section("global")
    assert "server-state-file /run/haproxy-states" in lines
    assert "hard-stop-after 1h" in lines
    assert "stats socket /run/haproxy-admin.sock mode 600 level admin" in lines


# --- requests ---


def test_a_client_cannot_forge_its_address() -> None:
    """Quay believes X-Forwarded-For, so what a client sends in it must not arrive."""
    text = _render()
    assert "http-request set-header X-Forwarded-For %[src]" in _section("frontend https")
    assert "http-request set-header X-Forwarded-Proto https" in _section("frontend https")
    assert "forwardfor" not in text
    assert "add-header" not in text


def test_while_new_connections_are_held_each_answer_ends_its_connection() -> None:
    held = "{ str(held) -f /etc/quaylab/balancer/held }"
    assert f"http-after-response set-header Connection close if {held}" in _section(
        "frontend https"
    )


def test_only_what_changes_nothing_or_is_a_manifest_is_sent_twice() -> None:
    lines = _section("backend quay")
    assert "acl manifest path_reg ^/v2/.+/manifests/[^/]+$" in lines
    retried = "{ method GET HEAD } || manifest { method PUT }"
    assert f"http-request disable-l7-retry unless {retried}" in lines


def test_a_manifest_fits_the_buffer_and_may_be_sent_to_another_node() -> None:
    assert "tune.bufsize 65536" in _section("global")
    lines = _section("backend quay")
    assert "http-request wait-for-body time 10s if manifest { method PUT }" in lines


@pytest.mark.parametrize(
    ("https", "target"), [(443, "registry.example.com"), (9443, "registry.example.com:9443")]
)
def test_http_is_redirected_to_the_registrys_port(https: int, target: str) -> None:
    lines = _section("frontend http", ports=(https, 9080, 8404))
    assert lines == [
        "option httplog",
        "bind :9080",
        f"http-request redirect prefix https://{target} code 301",
    ]
    assert _section("frontend https", ports=(https, 9080, 8404))[1] == (
        f"bind :{https} ssl crt /etc/quaylab/balancer/registry.pem alpn h2,http/1.1"
    )


def test_health_and_metrics_are_on_loopback_only() -> None:
    lines = _section("frontend status", ports=(443, 80, 9404))
    assert lines[0] == "bind 127.0.0.1:9404"
    assert "monitor-uri /healthy" in lines
    assert "http-request use-service prometheus-exporter if { path /metrics }" in lines
    assert lines[-1] == "http-request return status 404"


# --- nodes ---


def test_every_node_is_verified_by_the_registrys_name_and_ca() -> None:
    servers = [line for line in _section("backend quay") if line.startswith("server ")]
    assert [line.split()[1:3] for line in servers] == [
        ["quay1.example.com", "192.168.254.31:8443"],
        ["quay1.example.com:2", "192.168.254.31:8444"],
        ["quay2.example.com", "192.168.254.32:8443"],
    ]
    for line in servers:
        assert line.partition(" ssl ")[2] == (
            "verify required ca-file /etc/quaylab/balancer/trusted.pem verifyhost "
            "registry.example.com sni str(registry.example.com)"
        )


def test_nodes_see_the_address_that_they_trust() -> None:
    assert "source 192.168.254.21" in _section("backend quay")


def test_old_tls_is_refused_on_both_sides() -> None:
    lines = _section("global")
    for side in ("bind", "server"):
        assert f"ssl-default-{side}-options ssl-min-ver TLSv1.2" in lines


# --- the digest ---


def test_a_running_haproxy_tells_the_digest_of_what_it_has_loaded() -> None:
    text = _render()
    digest = haproxy_config.loaded_digest(text)
    assert f"description {digest}" in _section("global")
    assert len(digest) == 16
    assert "DIGEST" not in text
    assert _render() == text, "two runs render the same"


@pytest.mark.parametrize(
    "changes",
    [
        {"certificates": ("another certificate", "authority")},
        {"certificates": ("certificate and key", "another authority")},
        {"certificates": ("certificate and keyauthority", "")},
        {"nodes": NODES[:2]},
        {"source": "192.168.254.22"},
        {"hostname": "other.example.com"},
        {"ports": (443, 80, 8405)},
    ],
    ids=["certificate", "CA", "both joined", "nodes", "source", "hostname", "ports"],
)
def test_every_change_is_known_by_the_digest(changes: dict[str, Any]) -> None:
    assert haproxy_config.loaded_digest(_render(**changes)) != haproxy_config.loaded_digest(
        _render()
    )


def test_neither_certificate_nor_key_is_in_the_configuration() -> None:
    text = _render(certificates=("SECRET", "AUTHORITY"))
    assert "SECRET" not in text
    assert "AUTHORITY" not in text
