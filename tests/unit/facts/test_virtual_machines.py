"""VMs: their addresses and their host keys."""

from __future__ import annotations

from pathlib import Path

from facts.virtual_machines import Addresses, HostKeys
from tests.unit.shell import Shell

LEASES = """\
 Name       MAC address          Protocol     Address
-------------------------------------------------------------------------------
 vnet0      52:54:00:6b:c4:e3    ipv4         192.168.254.12/24
"""
AGENT = """\
 lo         00:00:00:00:00:00    ipv4         127.0.0.1/8
 eth0       52:54:00:6b:c4:e4    ipv4         192.168.254.13/24
"""


def test_addresses_by_lease_or_agent(shell: Shell) -> None:
    shell.stub(
        "virsh",
        'case "$4 $6" in\n'
        f"  'a.lan lease') cat <<'TEXT'\n{LEASES}TEXT\n;;\n"
        f"  'b.lan agent') cat <<'TEXT'\n{AGENT}TEXT\n;;\n"
        "  *) exit 1 ;;\nesac",
    )
    command = Addresses().command(names=["a.lan", "b.lan", "c.lan"])
    assert Addresses().process(shell.lines(command)) == {
        "a.lan": "192.168.254.12",
        "b.lan": "192.168.254.13",
    }


def test_host_keys(shell: Shell, tmp_path: Path) -> None:
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAA a.lan\n")
    command = HostKeys().command(paths={"a.lan": str(key), "b.lan": f"{tmp_path}/none"})
    assert HostKeys().process(shell.lines(command)) == {"a.lan": "ssh-ed25519 AAAA"}


def test_defaults_are_empty() -> None:
    assert Addresses().default() == HostKeys().default() == {}
