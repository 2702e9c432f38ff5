"""The balancers: what is refused, their ports, their container, and the files that are reloaded."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from quaylab import topology
from quaylab.engines import DOCKER
from quaylab.model import LOOPBACK
from quaylab.secrets.certificates import ServerCertificate
from quaylab.services import BY_NAME, balancer, haproxy_config
from quaylab.services.base import Audience, Context
from quaylab.settings.loading import HostInput
from tests.authority import Authority
from tests.unit import balanced
from tests.unit.balanced import ADDRESSES, BALANCERS, VIRTUAL
from tests.unit.samples import host, settings

FIRST, SECOND, _ = BALANCERS
ELSEWHERE = "192.168.254.200"


def _setting_problems(hosts: list[HostInput], **changes: Any) -> list[str]:
    found = BY_NAME["balancer"].setting_problems(settings(**changes), topology.groups(hosts))
    return list(found)


def _problems(run: Context) -> list[str]:
    return list(BY_NAME["balancer"].problems(run))


# --- what is refused ---


@pytest.mark.parametrize(
    ("balancers", "changes"),
    [
        (0, {}),
        (1, {}),
        (2, {"virtual_address": VIRTUAL}),
        (0, {"balancer_host": ELSEWHERE}),
        (0, {"balancer_host": "lb.example.com"}),
    ],
    ids=str,
)
def test_combinations_that_work(balancers: int, changes: dict[str, Any]) -> None:
    assert _setting_problems(balanced.inventory(balancers), **changes) == []


@pytest.mark.parametrize(
    ("balancers", "changes", "message"),
    [
        (
            2,
            {"balancer_host": ELSEWHERE},
            f"balancer_host: {ELSEWHERE} runs elsewhere, but group `balancer` has {FIRST}: drop "
            "one of the two",
        ),
        (
            1,
            {"virtual_address": VIRTUAL},
            "virtual_address: an address moves only between two or more balancers, and group "
            "`balancer` has 1; add one, or leave virtual_address out",
        ),
        (
            0,
            {"virtual_address": VIRTUAL},
            "virtual_address: an address moves only between two or more balancers, and group "
            "`balancer` has none; add one, or leave virtual_address out",
        ),
        (
            2,
            {"virtual_address": "fd00::100"},
            "virtual_address: fd00::100 is not an IPv4 address; give one that no host has",
        ),
        (
            2,
            {"virtual_address": "vip.example.com"},
            "virtual_address: vip.example.com is not an IPv4 address; give one that no host has",
        ),
    ],
    ids=["two balancers", "one host", "no host", "IPv6", "a name"],
)
def test_combinations_that_are_refused(
    balancers: int, changes: dict[str, Any], message: str
) -> None:
    assert _setting_problems(balanced.inventory(balancers), **changes) == [message]


@pytest.mark.parametrize("address", [None, ELSEWHERE, "lb.example.com"])
def test_address_of_a_balancer_elsewhere(address: str | None) -> None:
    given = settings(balancer_host=address)
    assert BY_NAME["balancer"].external_address(given) == address


def test_a_virtual_address_with_two_faults_has_two_problems() -> None:
    problems = _setting_problems(balanced.inventory(1), virtual_address="fd00::100")
    assert [each.partition(";")[0] for each in problems] == [
        "virtual_address: fd00::100 is not an IPv4 address",
        "virtual_address: an address moves only between two or more balancers, and group "
        "`balancer` has 1",
    ]


@pytest.mark.parametrize("changes", [{}, {"virtual_address": VIRTUAL}], ids=str)
def test_hosts_that_fit(changes: dict[str, Any]) -> None:
    assert _problems(balanced.run(**changes)) == []


@pytest.mark.parametrize("address", ["lb1.internal", "fd00::21"])
@pytest.mark.parametrize(("at", "group"), [(0, "balancer"), (1, "quay")])
def test_an_address_that_is_not_ipv4_is_refused(address: str, at: int, group: str) -> None:
    hosts = balanced.inventory(1, 1)
    name = hosts[at].name
    hosts[at] = host(name, [group], **balanced.SHARED, address=address)
    where = balanced.build(hosts, **balanced.SHARED)
    assert _problems(balanced.run(where)) == [
        f"address: {name} is behind a balancer or is one, and these know each other by IPv4 "
        f"addresses; set `address` to one instead of {address}"
    ]


def _with(name: str, **changes: Any) -> Context:
    """Return a run with a virtual address in which a host reports something else."""
    run = balanced.run(virtual_address=VIRTUAL)
    machines = {**run.machines, name: balanced.report(name, **changes)}
    return dataclasses.replace(run, machines=machines)


def test_keepalived_needs_systemd() -> None:
    assert _problems(_with(SECOND, systemd=False)) == [
        f"virtual_address: {SECOND} has no systemd, which runs keepalived; leave it out"
    ]


def test_a_virtual_address_in_no_network_of_a_balancer_is_refused() -> None:
    networks = (("eth0", "10.0.0.22/24"), ("eth1", "10.0.1.22/16"))
    assert _problems(_with(SECOND, networks=networks)) == [
        f"virtual_address: {VIRTUAL} is in no network of {SECOND}, which has 10.0.0.22/24 on eth0, "
        "10.0.1.22/16 on eth1; choose a free address in a network that all balancers share"
    ]


@pytest.mark.parametrize("address", ["192.168.254.0", "192.168.254.255"])
def test_a_networks_own_addresses_are_refused(address: str) -> None:
    (problem,) = set(_problems(balanced.run(virtual_address=address)))
    assert problem == (
        f"virtual_address: {address} stands for the whole network 192.168.254.0/24; choose a free "
        "address in it"
    )


def test_a_balancers_second_address_is_not_the_virtual_one() -> None:
    """Only keepalived's own has the whole address as its network."""
    own = ("eth0", "192.168.254.22/24")
    assert _problems(_with(SECOND, networks=(own, ("eth0", f"{VIRTUAL}/24")))) == [
        f"virtual_address: {VIRTUAL} is an address of {SECOND}; choose a free one"
    ]
    assert _problems(_with(SECOND, networks=(own, ("eth0", f"{VIRTUAL}/32")))) == []


@pytest.mark.parametrize("name", [FIRST, "quay2.example.com", "data.example.com"])
def test_a_hosts_own_address_is_not_the_virtual_one(name: str) -> None:
    own = ADDRESSES[name]
    assert _problems(balanced.run(virtual_address=own)) == [
        f"virtual_address: {own} is the address of {name}; choose a free one"
    ]


def test_a_balancer_that_takes_no_part_is_not_examined() -> None:
    run = _with(SECOND, systemd=False)
    machines = {name: found for name, found in run.machines.items() if name != SECOND}
    assert _problems(dataclasses.replace(run, machines=machines)) == []


# --- ports ---


def test_the_registrys_ports_are_for_everybody_and_the_metrics_for_nobody() -> None:
    run = balanced.run(quay_https_port=9443, quay_http_port=9080, balancer_status_port=9404)
    ports = BY_NAME["balancer"].ports(run, FIRST)
    assert [(port.setting, str(port.published), port.audience) for port in ports] == [
        ("quay_https_port", "0.0.0.0:9443:9443", Audience.EVERYBODY),
        ("quay_http_port", "0.0.0.0:9080:9080", Audience.EVERYBODY),
        ("balancer_status_port", "127.0.0.1:9404:9404", Audience.NOBODY),
    ]


def test_addresses_of_each_audience() -> None:
    where = balanced.layout()
    assert where.addresses_of(Audience.BALANCERS) == ("192.168.254.21", "192.168.254.22")
    assert where.addresses_of(Audience.QUAY) == ("192.168.254.31", "192.168.254.32")
    assert where.addresses_of(Audience.NOBODY) == where.addresses_of(Audience.EVERYBODY) == ()


# --- the container ---


def test_it_listens_by_itself_and_publishes_nothing() -> None:
    (found,) = BY_NAME["balancer"].workloads(balanced.run(), FIRST)
    line = " ".join(DOCKER.run_arguments(found.container))
    assert found.container.name == "quaylab-balancer"
    assert "--network=host" in line
    assert "--user=root" in line
    assert "--publish" not in line
    assert "--privileged" not in line
    assert "--volume=/etc/quaylab/balancer:/etc/quaylab/balancer:ro" in line
    assert found.volume is None


def test_a_master_process_reloads_and_connections_may_end() -> None:
    (found,) = BY_NAME["balancer"].workloads(balanced.run(), FIRST)
    assert found.container.command[:2] == ("haproxy", "-W")
    assert found.container.command[-1] == "/etc/quaylab/balancer/haproxy.cfg"
    assert found.container.stop_timeout == 60
    assert "another balancer" in found.interruption


def test_its_health_is_asked_on_loopback() -> None:
    run = balanced.run(balancer_status_port=9404)
    (found,) = BY_NAME["balancer"].workloads(run, FIRST)
    assert f"/dev/tcp/{LOOPBACK}/9404" in found.container.health
    assert f"GET {haproxy_config.HEALTH} " in found.container.health


def test_images() -> None:
    given = balancer.image(settings(balancer_image="registry.example.com/haproxy:3.2"))
    assert (given.reference, given.source) == ("registry.example.com/haproxy:3.2", "registry")
    packaged = balancer.image(settings(image_source="packages"))
    assert packaged.reference.startswith("quaylab/haproxy:3.0-")


# --- its files ---


def _digests(**changes: Any) -> tuple[str, str]:
    """Return the digest of the container, and the one of what HAProxy loads."""
    (found,) = BY_NAME["balancer"].workloads(balanced.run(**changes), FIRST)
    (configuration,) = (file for file in found.files if file.path.endswith("haproxy.cfg"))
    return found.container.digest, haproxy_config.loaded_digest(configuration.content)


def test_files_are_roots_alone() -> None:
    (found,) = BY_NAME["balancer"].workloads(balanced.run(), FIRST)
    assert {file.path: (file.uid, file.mode) for file in found.files} == {
        "/etc/quaylab/balancer/ask-haproxy": (0, 0o500),
        "/etc/quaylab/balancer/registry.pem": (0, 0o400),
        "/etc/quaylab/balancer/trusted.pem": (0, 0o400),
        "/etc/quaylab/balancer/held": (0, 0o400),
        "/etc/quaylab/balancer/haproxy.cfg": (0, 0o400),
    }


def test_clients_see_the_registrys_certificate_and_nodes_are_verified_by_its_ca() -> None:
    run = balanced.run()
    contents = {file.path: file.content for file in balancer.reloadable_files(run, FIRST)}
    served = contents["/etc/quaylab/balancer/registry.pem"]
    assert served.startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE KEY" in served
    assert contents["/etc/quaylab/balancer/trusted.pem"] == run.certificate.trusted
    assert "PRIVATE KEY" not in contents["/etc/quaylab/balancer/trusted.pem"]


def _verified(run: Context, folder: Path) -> bool:
    """Whether OpenSSL verifies the nodes' certificate by what HAProxy trusts, as HAProxy does: up
    to a root. Measured with HAProxy 3.0.11, which takes a node down if its CA file has no root."""
    trusted, node = folder / "trusted.pem", folder / "node.pem"
    contents = {file.path: file.content for file in balancer.reloadable_files(run, FIRST)}
    trusted.write_text(contents["/etc/quaylab/balancer/trusted.pem"])
    node.write_text(run.node_certificate.certificate)
    done = subprocess.run(
        ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", trusted,
         "-untrusted", node, node],
        capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


def test_haproxy_can_verify_nodes_by_our_ca(tmp_path: Path) -> None:
    assert _verified(balanced.run(), tmp_path)


def test_a_given_certificate_is_for_clients_alone() -> None:
    """HAProxy could not verify the nodes by a chain without its root."""
    between = Authority.new("Between", issuer=Authority.new())
    certificate, key = between.sign(balanced.HOSTNAME)
    given = ServerCertificate(f"{certificate}{between.pem}", SecretStr(key), None)
    before = balanced.run()
    after = dataclasses.replace(before, certificate=given)
    served, trusted, *_ = balancer.reloadable_files(after, FIRST)
    assert served.content == f"{certificate}{between.pem}\n{key}"
    assert trusted.content == before.node_certificate.trusted


@pytest.mark.parametrize(
    "changes", [{"quay_instances": 2}, {"quay_node_port": 9443}, {"quay_http_port": 81}], ids=str
)
def test_another_configuration_is_a_reload_and_no_other_container(changes: dict[str, Any]) -> None:
    container, loaded = _digests()
    assert _digests(**changes)[0] == container
    assert _digests(**changes)[1] != loaded


def test_each_balancer_is_seen_from_its_own_address() -> None:
    run = balanced.run()
    for name in (FIRST, SECOND):
        *_, configuration = balancer.reloadable_files(run, name)
        assert f"\n    source {ADDRESSES[name]}\n" in configuration.content


def test_the_question_to_haproxy_is_one_word_for_its_shell() -> None:
    assert balancer.ask("show info") == (
        "/etc/quaylab/balancer/ask-haproxy /run/haproxy-admin.sock 'show info'"
    )
