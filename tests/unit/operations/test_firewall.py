"""firewalld: the ports of a host's parts, to those who need them."""

from __future__ import annotations

import base64

import pytest

from facts.firewall import Firewall, FirewallState
from operations import firewall
from quaylab import parts
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost, stdin, text
from tests.unit.samples import CREDENTIALS, build, host, settings

PEER = "192.168.254.10"
RICH = (
    '--add-rich-rule=rule family="ipv4" source address="192.168.254.10" '
    'port port="{}" protocol="tcp" accept'
)


def _of_the_database(lab: Plan) -> tuple[parts.Part, ...]:
    hosts = [
        host("quay.example.com", ["quay"], address=PEER),
        host("db.example.com", ["database", "redis"], address="192.168.254.11"),
    ]
    where = build(hosts)
    make = (parts.database, parts.redis)
    return tuple(each(settings(), where, CREDENTIALS) for each in make)


def test_the_registry_is_for_everybody_and_its_services_for_quay(lab: Plan) -> None:
    running = FakeHost({Firewall: FirewallState(True, frozenset())})
    _, *commands = running.shell(firewall.opened, parts=lab.parts_of("quay.example.com"), peer=PEER)
    assert [command.count("--add-port=443/tcp") for command in commands] == [2, 0]
    assert commands[1].count("--add-port=80/tcp") == 2
    _, *commands = running.shell(firewall.opened, parts=_of_the_database(lab), peer=PEER)
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
def test_nothing_to_open(lab: Plan, state: FirewallState) -> None:
    found = FakeHost({Firewall: state})
    assert found.shell(firewall.opened, parts=_of_the_database(lab), peer=PEER) == []
    assert len(found.noops) == 1


# --- what runs have opened ---

QUAYS = frozenset({"--add-port=443/tcp", "--add-port=80/tcp"})


def _written(command: object) -> list[str]:
    """The lines of the note."""
    return base64.b64decode(stdin(command)).decode().splitlines()


def test_what_a_run_opens_is_noted_first(lab: Plan) -> None:
    """A port that somebody else had opened is none of ours."""
    host = FakeHost({Firewall: FirewallState(True, frozenset({"--add-port=80/tcp"}))})
    parts = lab.parts_of("quay.example.com")
    note, opened = host.operate(firewall.opened, parts=parts, peer=PEER)
    assert _written(note) == ["--add-port=443/tcp"]
    assert "--add-port=443/tcp" in text(opened)


def test_the_rule_of_a_port_before_goes(lab: Plan) -> None:
    before = "--add-port=8443/tcp"
    found = FirewallState(True, QUAYS | {before}, QUAYS | {before})
    parts = lab.parts_of("quay.example.com")
    host = FakeHost({Firewall: found})
    closed, note = host.operate(firewall.opened, parts=parts, peer=PEER)
    assert text(closed).count("--remove-port=8443/tcp") == 2
    assert _written(note) == sorted(QUAYS)


def test_a_killed_run_is_finished(lab: Plan) -> None:
    """It noted what it would open, and did not come to it."""
    host = FakeHost({Firewall: FirewallState(True, frozenset(), QUAYS)})
    commands = host.shell(firewall.opened, parts=lab.parts_of("quay.example.com"), peer=PEER)
    assert [command.split("=")[1].split("/")[0] for command in commands] == ["443", "80"]


def test_taken_down_is_closed() -> None:
    rich = RICH.format(5432)
    found = FirewallState(True, QUAYS | {rich}, frozenset({rich}))
    closed, note = FakeHost({Firewall: found}).operate(firewall.closed)
    assert text(closed).count(RICH.format(5432).replace("--add-", "--remove-")) == 2
    assert _written(note) == []
    nothing = FakeHost({Firewall: FirewallState(True, QUAYS)})
    assert nothing.shell(firewall.closed) == []
