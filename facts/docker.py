"""The engine's daemon."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from quaylab.containers import NETWORK

# Where dpkg was interrupted, dockerd is there and can't be started.
HALF_INSTALLED = (
    "dpkg-query --show --showformat '${db:Status-Status}\\n' docker.io containerd 2>/dev/null |"
    " grep --quiet -e unpacked -e half- -e triggers-"
)


# A network of ours has rules in iptables, unless the engine was told to make none. It may use
# another of the tools than `iptables` is now.
FLUSHED = rf"""
jumps() {{ printf '%s\n' "$rules" | grep --quiet -e "-A $1.* -j DOCKER"; }}
told() {{
  grep --quiet --no-messages '"iptables" *: *false' /etc/docker/daemon.json ||
    for pid in $(pidof dockerd); do tr '\0' ' ' </proc/$pid/cmdline; done |
      grep --quiet -e '--iptables=false' ||
    docker info 2>/dev/null | grep --quiet 'Firewall Backend: nftables'
}}
flushed=
for tool in iptables iptables-nft iptables-legacy; do
  rules=$({{ $tool --wait --table nat --list-rules PREROUTING &&
    $tool --wait --list-rules FORWARD; }} 2>/dev/null) || continue
  flushed=yes
  if jumps PREROUTING && jumps FORWARD; then flushed=; break; fi
done
if test "$flushed" && docker network inspect {NETWORK} >/dev/null 2>&1 && ! told; then
  echo flushed
fi
"""


@dataclass(frozen=True)
class DaemonState:
    """``proxies`` are the daemon's own HTTP_PROXY, HTTPS_PROXY and NO_PROXY, empty where unset;
    ``live_restore`` is whether containers go on while it restarts, and ``flushed`` whether its
    rules are gone from iptables."""

    installed: bool
    enabled: bool
    answers: bool
    proxies: tuple[str, str, str]
    live_restore: bool = False
    flushed: bool = False


class Daemon(FactBase[DaemonState]):
    """Whether dockerd is installed, enabled at boot, and answers."""

    def command(self) -> str:
        return (
            f"if command -v dockerd && command -v docker && ! {HALF_INSTALLED}; "
            "then echo installed; fi; "
            "if systemctl is-enabled --quiet docker; then echo enabled; fi; "
            "if docker version >/dev/null; then "
            "docker info --format 'proxies|{{.HTTPProxy}}|{{.HTTPSProxy}}|{{.NoProxy}}{{println}}"
            "live restore {{.LiveRestoreEnabled}}'\n"
            f"{FLUSHED}fi"
        )

    @staticmethod
    def default() -> DaemonState:
        return DaemonState(False, False, False, ("", "", ""))

    def process(self, output: list[str]) -> DaemonState:
        proxies = [line.split("|")[1:] for line in output if line.startswith("proxies|")]
        first, second, third = proxies[0] if proxies else ("", "", "")
        return DaemonState(
            installed="installed" in output,
            enabled="enabled" in output,
            answers=bool(proxies),
            proxies=(first, second, third),
            live_restore="live restore true" in output,
            flushed="flushed" in output,
        )
