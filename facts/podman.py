"""Podman on a host, beside what it reports itself."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from quaylab.model import DIGEST_LABEL, NETWORK

# firewalld's reload removes netavark's rules; this unit of netavark 1.9 and newer makes them again.
RELOADER = "netavark-firewalld-reload.service"
# After dpkg was interrupted, podman may be there without what it needs.
HALF_INSTALLED = (
    "dpkg-query --show --showformat '${db:Status-Status}\\n' podman crun netavark aardvark-dns "
    "2>/dev/null | grep --quiet -e unpacked -e half- -e triggers-"
)
# RHEL's own installation may have Podman, and lack what labels data directories.
NO_LABELS = "{ command -v dnf && selinuxenabled && ! command -v semanage; } >/dev/null 2>&1"
# Our containers that have rules in the firewall.
OURS = f"podman ps --quiet --filter network={NETWORK} --filter label={DIGEST_LABEL}"
# Podman reads its files in this order, and the last value counts (containers.conf(5)).
CONFIGURATION = (
    "/usr/share/containers/containers.conf /etc/containers/containers.conf "
    "/etc/containers/containers.conf.d/*.conf"
)
COMMAND = f"""\
if command -v podman >/dev/null && ! {HALF_INSTALLED} && ! {NO_LABELS}; then echo installed; fi
# CNI is RHEL 8's.
has_rules() {{
    nft list tables 2>/dev/null | grep --quiet netavark && return
    for tool in iptables iptables-nft iptables-legacy; do
        $tool --wait --table nat --list-rules 2>/dev/null |
            grep --quiet --extended-regexp 'NETAVARK|CNI-HOSTPORT' && return
    done
    ! command -v nft >/dev/null && ! command -v iptables >/dev/null
}}
# The rules of netavark's other drivers, firewalld and none, are not seen here.
driver=$(cat {CONFIGURATION} 2>/dev/null |
    sed -n 's/^[[:blank:]]*firewall_driver[[:blank:]]*=[[:blank:]]*.\\([a-z]*\\).*/\\1/p' |
    tail -n 1)
case $driver in
firewalld | none) ;;
*) test -z "$({OURS} 2>/dev/null)" || has_rules || echo flushed ;;
esac
rules=$(iptables --wait --list-rules 2>/dev/null)
has_rule() {{ printf '%s\n' "$rules" | grep --quiet -e "$1"; }}
if has_rule '-P FORWARD DROP' && has_rule '-N DOCKER-USER' && ! has_rule 'NETAVARK_FORWARD'; then
    echo blocked
fi
if systemctl is-active --quiet firewalld && systemctl cat {RELOADER} >/dev/null 2>&1 &&
    ! systemctl is-enabled --quiet {RELOADER}; then
    echo not-reloaded
fi
"""


@dataclass(frozen=True)
class PodmanState:
    """``flushed``: containers run on our network, and its rules are gone from the firewall.
    ``blocked``: Docker, which has switched on the kernel's forwarding, drops what others forward.
    ``not_reloaded``: nothing makes the rules again after firewalld has reloaded."""

    installed: bool
    flushed: bool = False
    blocked: bool = False
    not_reloaded: bool = False


class Podman(FactBase[PodmanState]):
    """Whether Podman is installed, and whether its rules are there and stay."""

    def command(self) -> str:
        return COMMAND

    @staticmethod
    def default() -> PodmanState:
        return PodmanState(False)

    def process(self, output: list[str]) -> PodmanState:
        words = ("installed", "flushed", "blocked", "not-reloaded")
        return PodmanState(*(word in output for word in words))
