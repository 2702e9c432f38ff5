"""firewalld: the ports of a host's services, to those who need them."""

from __future__ import annotations

import base64

import pytest

from facts.firewall import Firewall, FirewallState
from operations import firewall
from quaylab.plan import Plan
from quaylab.services import BY_NAME
from quaylab.services.base import Port
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import build, context, host

NAME = "quay.example.com"
PEER = "192.168.254.10"
RICH = (
    '--add-rich-rule=rule family="ipv4" source address="192.168.254.10" '
    'port port="{}" protocol="tcp" accept'
)


def _of(lab: Plan) -> tuple[Port, ...]:
    return tuple(port for _, port in lab.ports_of(NAME))


def _of_the_database() -> tuple[Port, ...]:
    name = "db.example.com"
    hosts = [
        host(NAME, ["quay"], address=PEER),
        host(name, ["database", "redis"], address="192.168.254.11"),
    ]
    told = context(build(hosts))
    return tuple(
        port for service in ("database", "redis") for port in BY_NAME[service].ports(told, name)
    )


def test_the_registry_is_for_everybody_and_its_services_for_quay(lab: Plan) -> None:
    running = FakeHost({Firewall: FirewallState(True, frozenset())})
    _, *commands = running.shell(firewall.opened, ports=_of(lab), peer=PEER)
    assert [command.count("--add-port=443/tcp") for command in commands] == [2, 0]
    assert commands[1].count("--add-port=80/tcp") == 2
    _, *commands = running.shell(firewall.opened, ports=_of_the_database(), peer=PEER)
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
    assert found.shell(firewall.opened, ports=_of_the_database(), peer=PEER) == []
    assert len(found.noops) == 1


# --- what runs have opened ---

QUAYS = frozenset({"--add-port=443/tcp", "--add-port=80/tcp"})


def _written(command: object) -> list[str]:
    """The lines of the note."""
    return base64.b64decode(stdin(command)).decode().splitlines()


def test_what_a_run_opens_is_noted_first(lab: Plan) -> None:
    """A port that somebody else had opened is none of ours."""
    host = FakeHost({Firewall: FirewallState(True, frozenset({"--add-port=80/tcp"}))})
    note, opened = host.operate(firewall.opened, ports=_of(lab), peer=PEER)
    assert _written(note) == ["--add-port=443/tcp"]
    assert "--add-port=443/tcp" in text(opened)


def test_the_rule_of_a_port_before_goes(lab: Plan) -> None:
    before = "--add-port=8443/tcp"
    found = FirewallState(True, QUAYS | {before}, QUAYS | {before})
    host = FakeHost({Firewall: found})
    closed, note = host.operate(firewall.opened, ports=_of(lab), peer=PEER)
    assert text(closed).count("--remove-port=8443/tcp") == 2
    assert _written(note) == sorted(QUAYS)


def test_a_killed_run_is_finished(lab: Plan) -> None:
    """It noted what it would open, and did not come to it."""
    host = FakeHost({Firewall: FirewallState(True, frozenset(), QUAYS)})
    commands = host.shell(firewall.opened, ports=_of(lab), peer=PEER)
    assert [command.split("=")[1].split("/")[0] for command in commands] == ["443", "80"]


def test_taken_down_is_closed() -> None:
    rich = RICH.format(5432)
    found = FirewallState(True, QUAYS | {rich}, frozenset({rich}))
    closed, note = FakeHost({Firewall: found}).operate(firewall.closed)
    assert text(closed).count(RICH.format(5432).replace("--add-", "--remove-")) == 2
    assert _written(note) == []
    nothing = FakeHost({Firewall: FirewallState(True, QUAYS)})
    assert nothing.shell(firewall.closed) == []
