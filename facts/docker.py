"""The engine's daemon."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api.facts import FactBase

# Where dpkg was interrupted, dockerd is there and can't be started.
HALF_INSTALLED = (
    "dpkg-query --show --showformat '${db:Status-Status}\\n' docker.io containerd 2>/dev/null |"
    " grep --quiet -e unpacked -e half- -e triggers-"
)


@dataclass(frozen=True)
class DaemonState:
    """``proxies``: the daemon's own HTTP_PROXY, HTTPS_PROXY and NO_PROXY, empty where unset."""

    installed: bool
    enabled: bool
    answers: bool
    proxies: tuple[str, str, str]


class Daemon(FactBase[DaemonState]):
    """Whether dockerd is installed, enabled at boot, and answers."""

    def command(self) -> str:
        return (
            f"if command -v dockerd && command -v docker && ! {HALF_INSTALLED}; "
            "then echo installed; fi; "
            "if systemctl is-enabled --quiet docker; then echo enabled; fi; "
            "if docker version >/dev/null; then "
            "docker info --format 'proxies|{{.HTTPProxy}}|{{.HTTPSProxy}}|{{.NoProxy}}'; fi"
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
        )
