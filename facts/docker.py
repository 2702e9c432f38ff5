"""The engine's daemon."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from quaylab.engines import DOCKER

# After dpkg was interrupted, dockerd may be there and can't be started.
HALF_INSTALLED = (
    "dpkg-query --show --showformat '${db:Status-Status}\\n' docker.io containerd 2>/dev/null |"
    " grep --quiet -e unpacked -e half- -e triggers-"
)


# Our network has rules in iptables, unless the engine is configured to make none. The engine may
# use another variant of the tool than the current `iptables`.
FLUSHED = rf"""
jumps() {{ printf '%s\n' "$rules" | grep --quiet -e "-A $1.* -j DOCKER"; }}
without_rules() {{
  grep --quiet --no-messages '"iptables" *: *false' /etc/docker/daemon.json ||
    for pid in $(pidof dockerd); do tr '\0' ' ' </proc/$pid/cmdline; done |
      grep --quiet -e '--iptables=false' ||
    {DOCKER.uses_nftables}
}}
flushed=
for tool in iptables iptables-nft iptables-legacy; do
  rules=$({{ $tool --wait --table nat --list-rules PREROUTING &&
    $tool --wait --list-rules FORWARD; }} 2>/dev/null) || continue
  flushed=yes
  if jumps PREROUTING && jumps FORWARD; then flushed=; break; fi
done
if test "$flushed" && {DOCKER.has_network} && ! without_rules; then
  echo flushed
fi
"""


@dataclass(frozen=True)
class DaemonState:
    """``enabled``: dockerd starts at boot; ``flushed``: the engine has our network, and its rules
    are gone from iptables."""

    installed: bool
    enabled: bool
    flushed: bool = False


class Daemon(FactBase[DaemonState]):
    """Whether dockerd is installed and enabled at boot, and its rules are there."""

    def command(self) -> str:
        return (
            f"if command -v dockerd && command -v docker && ! {HALF_INSTALLED}; "
            "then echo installed; fi; "
            "if systemctl is-enabled --quiet docker; then echo enabled; fi\n"
            f"{FLUSHED}"
        )

    @staticmethod
    def default() -> DaemonState:
        return DaemonState(False, False)

    def process(self, output: list[str]) -> DaemonState:
        return DaemonState("installed" in output, "enabled" in output, "flushed" in output)
