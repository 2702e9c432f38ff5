"""Which service resolves names."""

from __future__ import annotations

import pytest

from facts.resolver import Resolver, ResolverState
from tests.unit.shell import Shell

LINKS = "Global:\\nLink 2 (eth0): example.com\\nLink 5 (virbr-900): ~quaylab.lan ~b.lan\\n"


@pytest.mark.parametrize(
    ("active", "state"),
    [
        (
            "systemd-resolved",
            ResolverState("systemd-resolved", frozenset({"quaylab.lan", "b.lan"})),
        ),
        ("NetworkManager", ResolverState("NetworkManager")),
        ("neither", ResolverState()),
    ],
)
def test_kind(shell: Shell, active: str, state: ResolverState) -> None:
    shell.stub("systemctl", f'test "$3" = {active}')
    shell.stub("resolvectl", f"printf '{LINKS}'")
    command = Resolver().command(mark="# nobody's")
    assert Resolver().process(shell.lines(command)) == state


def test_our_lines_in_etc_hosts(shell: Shell) -> None:
    lines = ["hosts 192.168.254.1 a.lan", "hosts 192.168.254.2 b.lan"]
    assert Resolver().process(lines).hosts == ("192.168.254.1 a.lan", "192.168.254.2 b.lan")
    command = str(Resolver().command(mark="# ours").get_raw_value())
    shell.stub("systemctl", "exit 1")
    hosts = shell.stubs / "hosts"
    hosts.write_text(
        "192.168.254.1 a.lan # ours\n127.0.0.1 localhost\n192.168.254.3 c # ours too\n"
    )
    found = Resolver().process(shell.lines(command.replace("/etc/hosts", str(hosts))))
    assert found.hosts == ("192.168.254.1 a.lan",)
