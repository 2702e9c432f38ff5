"""keepalived, which holds the registry's virtual address."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from quaylab.services.keepalived import LOADED, PENDING, UNIT, UNIT_FILE


@dataclass(frozen=True)
class KeepalivedState:
    """``present``: our unit is there. ``pending``: it holds the address without asking HAProxy.
    ``loaded`` is the sha256 of the configuration that runs, and ``outdated`` whether systemd has
    read an older unit. ``forbidden``: SELinux forbids its check to connect to HAProxy."""

    installed: bool
    present: bool
    pending: bool
    active: bool
    enabled: bool
    outdated: bool
    loaded: str
    forbidden: bool = False


class Keepalived(FactBase[KeepalivedState]):
    """Whether keepalived is installed, and the state of our unit."""

    def command(self) -> str:
        return (
            "command -v keepalived >/dev/null && echo installed; "
            "getsebool keepalived_connect_any 2>/dev/null | grep --quiet -e '--> off' && "
            "echo forbidden; "
            f"test -e {UNIT_FILE} && echo present; "
            f"test -e {PENDING} && echo pending; "
            f"systemctl is-active --quiet {UNIT} 2>/dev/null && echo active; "
            f"systemctl is-enabled --quiet {UNIT} 2>/dev/null && echo enabled; "
            f"systemctl show --property=NeedDaemonReload {UNIT} 2>/dev/null; "
            f"sha256sum {LOADED} 2>/dev/null | sed 's/^/loaded /' || :"
        )

    @staticmethod
    def default() -> KeepalivedState:
        return KeepalivedState(False, False, False, False, False, False, "")

    def process(self, output: list[str]) -> KeepalivedState:
        loaded = [line.split()[1] for line in output if line.startswith("loaded ")]
        return KeepalivedState(
            installed="installed" in output,
            present="present" in output,
            pending="pending" in output,
            active="active" in output,
            enabled="enabled" in output,
            outdated="NeedDaemonReload=yes" in output,
            loaded=loaded[0] if loaded else "",
            forbidden="forbidden" in output,
        )


class AddressInUse(FactBase[bool]):
    """Whether a machine in the host's network has an address, by ARP, which no firewall stops."""

    def command(self, address: str) -> str:
        return (
            # An answer of some minutes ago would still be known.
            f"ip neigh flush to {address} 2>/dev/null; "
            f"bash -c 'echo >/dev/udp/{address}/9' 2>/dev/null; sleep 1; "
            f"ip neigh show to {address} 2>/dev/null | grep --quiet lladdr && echo yes || :"
        )

    @staticmethod
    def default() -> bool:
        return False

    def process(self, output: list[str]) -> bool:
        return "yes" in output
