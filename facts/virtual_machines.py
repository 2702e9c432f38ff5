"""VMs on their hypervisor: their addresses and SSH host keys."""

from __future__ import annotations

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase


class Addresses(FactBase[dict[str, str]]):
    """The IPv4 addresses of running VMs, from the network's leases or else the guest's agent."""

    def command(self, names: list[str]) -> StringCommand:
        return StringCommand(
            "for name in", *map(QuoteString, names), ";",
            "do for source in lease agent; do",
            'virsh --connect qemu:///system domifaddr "$name" --source $source 2>/dev/null',
            "</dev/null | awk -v name=\"$name\" '$3 == \"ipv4\" && $4 !~ /^127\\./",
            '{ sub("/.*", "", $4); print name, $4; exit }\'; done; done',
        )  # fmt: skip

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in output:
            name, address = line.split()
            found.setdefault(name, address)
        return found


class HostKeys(FactBase[dict[str, str]]):
    """The public SSH host keys of VMs, by VM: as in known_hosts, without a name."""

    def command(self, paths: dict[str, str]) -> StringCommand:
        words = [QuoteString(word) for pair in paths.items() for word in pair]
        return StringCommand(
            "tell() { while test $# -gt 0; do",
            'if test -f "$2"; then printf "%s %s\n" "$1" "$(cut -d" " -f1,2 "$2")"; fi;',
            "shift 2; done; }; tell", *words,
        )  # fmt: skip

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        lines = (line.partition(" ") for line in output)
        return {name: key for name, _, key in lines if key.strip()}
