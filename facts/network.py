"""What a container can reach."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.facts import FactBase

from quaylab.containers import NETWORK

# With nothing but what Quay's image has; bash opens the connection.
SCRIPT = """\
while test $# -gt 0; do
    said=$(timeout 10 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1) ||
        printf '%s %s %s\\n' "$1" "$2" "${said:-no answer within 10 s}" | head -n 1
    shift 2
done"""


class OutOfReach(FactBase[dict[tuple[str, int], str]]):
    """Of addresses and ports those that a container does not get to, with the reason.

    Names and routes are a container's: it reads no /etc/hosts of the host, and what it sends is
    forwarded. Asked in the container if it runs on our network, else in one of its image there, for
    as long as that takes: one that is off the network is about to be replaced.
    """

    def requires_command(self, **_: object) -> str:
        return "docker"

    def command(
        self, container: str, image: str, targets: Iterable[tuple[str, int]]
    ) -> StringCommand:
        words = [str(word) for target in targets for word in target]
        script = StringCommand("-c", *map(QuoteString, (SCRIPT, "reach", *words)))
        return StringCommand(
            f'test -n "$(docker ps --quiet --filter name=^/{container}$',
            f'--filter network={NETWORK})" && docker exec', container, "bash", script,
            "2>/dev/null || {",
            f"docker network inspect {NETWORK} >/dev/null 2>&1 && on={NETWORK} || on=bridge;",
            'docker run --rm --network="$on" --entrypoint=bash', QuoteString(image), script, "; }",
        )  # fmt: skip

    @staticmethod
    def default() -> dict[tuple[str, int], str]:
        return {}

    def process(self, output: list[str]) -> dict[tuple[str, int], str]:
        found = {}
        for line in output:
            address, port, said = line.split(" ", 2)
            found[address, int(port)] = said.rpartition(": ")[2]
        return found
