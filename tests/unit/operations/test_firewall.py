"""firewalld: the ports of a host's parts, to those who need them."""

from __future__ import annotations

import pytest

from facts.firewall import Firewall, FirewallState
from operations import firewall
from quaylab import parts
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost
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
    commands = running.shell(firewall.opened, parts=lab.parts_of("quay.example.com"), peer=PEER)
    assert [command.count("--add-port=443/tcp") for command in commands] == [2, 0]
    assert commands[1].count("--add-port=80/tcp") == 2
    commands = running.shell(firewall.opened, parts=_of_the_database(lab), peer=PEER)
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
