"""firewalld: a host's ports are opened for those who need them."""

from __future__ import annotations

import base64
import dataclasses
import shlex

import pytest

from facts.firewall import Firewall, FirewallState
from operations.hosts import firewall
from quaylab.plan import Plan
from quaylab.services import BY_NAME
from quaylab.services.base import Audience, Port
from tests.unit import balanced
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import build, context, host

NAME = "quay.example.com"
PEER = "192.168.254.10"
RICH = (
    '--add-rich-rule=rule family="ipv4" source address="192.168.254.10" '
    'port port="{}" protocol="tcp" accept'
)


def _peers(audience: Audience) -> tuple[str, ...]:
    return (PEER,)


def _ports(lab: Plan) -> tuple[Port, ...]:
    return tuple(port for _, port in lab.ports_of(NAME))


def _database_ports() -> tuple[Port, ...]:
    name = "db.example.com"
    hosts = [
        host(NAME, ["quay"], address=PEER),
        host(name, ["database", "redis"], address="192.168.254.11"),
    ]
    run = context(build(hosts))
    return tuple(
        port for service in ("database", "redis") for port in BY_NAME[service].ports(run, name)
    )


def test_the_registry_is_open_to_all_and_its_services_to_quay(lab: Plan) -> None:
    running = FakeHost({Firewall: FirewallState(True, frozenset())})
    _, *commands = running.shell(firewall.opened, ports=_ports(lab), addresses_of=_peers)
    assert [command.count("--add-port=443/tcp") for command in commands] == [2, 0]
    assert commands[1].count("--add-port=80/tcp") == 2
    _, *commands = running.shell(firewall.opened, ports=_database_ports(), addresses_of=_peers)
    assert len(commands) == 2
    for command, port in zip(commands, (5432, 6379), strict=True):
        assert f"firewall-cmd --quiet '{RICH.format(port)}'" in command
        assert f"&& firewall-cmd --quiet --permanent '{RICH.format(port)}'" in command


@pytest.mark.parametrize(
    "state",
    [
        FirewallState(False, frozenset()),
        FirewallState(True, frozenset({RICH.format(5432), RICH.format(6379)})),
    ],
    ids=["not running", "open"],
)
def test_nothing_to_open(state: FirewallState) -> None:
    found = FakeHost({Firewall: state})
    assert found.shell(firewall.opened, ports=_database_ports(), addresses_of=_peers) == []
    assert len(found.noops) == 1


# --- rules of earlier runs ---

QUAYS = frozenset({"--add-port=443/tcp", "--add-port=80/tcp"})


def _written(command: object) -> list[str]:
    """Return the lines of the note."""
    return base64.b64decode(stdin(command)).decode().splitlines()


def test_a_rule_is_recorded_before_it_is_added(lab: Plan) -> None:
    """A port that somebody else opened is not recorded."""
    host = FakeHost({Firewall: FirewallState(True, frozenset({"--add-port=80/tcp"}))})
    note, opened = host.operate(firewall.opened, ports=_ports(lab), addresses_of=_peers)
    assert _written(note) == ["--add-port=443/tcp"]
    assert "--add-port=443/tcp" in text(opened)


def test_the_rule_of_a_former_port_is_removed(lab: Plan) -> None:
    before = "--add-port=8443/tcp"
    found = FirewallState(True, QUAYS | {before}, QUAYS | {before})
    host = FakeHost({Firewall: found})
    closed, note = host.operate(firewall.opened, ports=_ports(lab), addresses_of=_peers)
    assert text(closed).count("--remove-port=8443/tcp") == 2
    assert _written(note) == sorted(QUAYS)


def test_a_killed_run_is_finished(lab: Plan) -> None:
    """It recorded the rules, and was killed before it added them."""
    host = FakeHost({Firewall: FirewallState(True, frozenset(), QUAYS)})
    commands = host.shell(firewall.opened, ports=_ports(lab), addresses_of=_peers)
    assert [command.split("=")[1].split("/")[0] for command in commands] == ["443", "80"]


def test_a_teardown_removes_only_recorded_rules() -> None:
    rich = RICH.format(5432)
    found = FirewallState(True, QUAYS | {rich}, frozenset({rich}))
    closed, note = FakeHost({Firewall: found}).operate(firewall.closed)
    assert text(closed).count(RICH.format(5432).replace("--add-", "--remove-")) == 2
    assert _written(note) == []
    nothing = FakeHost({Firewall: FirewallState(True, QUAYS)})
    assert nothing.shell(firewall.closed) == []


def test_a_teardown_removes_the_rules_of_a_firewalld_that_is_stopped() -> None:
    rich = RICH.format(5432)
    stopped = FirewallState(False, frozenset(), QUAYS | {rich}, has_offline_client=True)
    *closed, note = FakeHost({Firewall: stopped}).operate(firewall.closed)
    assert [shlex.split(text(command)) for command in closed] == [
        ["firewall-offline-cmd", "--quiet", rule.replace("--add-", "--remove-")]
        for rule in sorted(QUAYS | {rich})
    ]
    assert _written(note) == []
    again = FakeHost({Firewall: dataclasses.replace(stopped, noted=frozenset())})
    assert again.shell(firewall.closed) == []


def test_a_firewalld_that_is_gone_has_no_rules() -> None:
    gone = FakeHost({Firewall: FirewallState(False, frozenset(), QUAYS)})
    assert gone.shell(firewall.closed) == []
    assert gone.noops == ["firewalld does not run"]


# --- balancers and nodes ---

VRRP = '--add-rich-rule=rule family="ipv4" source address="{}" protocol value="vrrp" accept'


def _options(host: str, *vrrp_peers: str) -> list[str]:
    """Return the options with which firewalld on a host is called."""
    run = balanced.run()
    ports = [
        port
        for service in ("balancer", "quay")
        if host in run.topology.hosts[service]
        for port in BY_NAME[service].ports(run, host)
    ]
    running = FakeHost({Firewall: FirewallState(True, frozenset())})
    _, *commands = running.shell(
        firewall.opened,
        ports=ports,
        addresses_of=run.topology.addresses_of,
        vrrp_peers=vrrp_peers,
    )
    return [command.split("'")[1] if "'" in command else command.split()[2] for command in commands]


def test_a_node_is_open_to_balancers_alone() -> None:
    rich = RICH.replace(PEER, "{}").replace('port="{}"', 'port="8443"')
    assert _options("quay1.example.com") == [
        rich.format("192.168.254.21"),
        rich.format("192.168.254.22"),
    ]


def test_a_balancer_is_open_to_all_but_its_metrics_to_nobody() -> None:
    assert _options("lb1.example.com") == ["--add-port=443/tcp", "--add-port=80/tcp"]


def test_balancers_with_a_virtual_address_hear_each_other() -> None:
    peers = ("192.168.254.22", "192.168.254.23")
    *_, second, third = _options("lb1.example.com", *peers)
    assert [second, third] == [VRRP.format(peer) for peer in peers]


def test_a_balancer_that_has_gone_is_closed_out() -> None:
    gone = VRRP.format("192.168.254.23")
    found = FirewallState(True, frozenset({gone}), frozenset({gone}))
    run = balanced.run()
    closed, note = FakeHost({Firewall: found}).operate(
        firewall.opened, ports=[], addresses_of=run.topology.addresses_of
    )
    assert text(closed).count(gone.replace("--add-", "--remove-")) == 2
    assert _written(note) == []
