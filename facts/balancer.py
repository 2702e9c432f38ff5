"""What a running HAProxy says of itself and of Quay's nodes."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.services.balancer import ask
from quaylab.services.haproxy_config import BACKEND

# Bits of srv_admin_state, from HAProxy's management guide.
MAINTENANCE, DRAIN = 0x01, 0x08
UP = 2
# A line for each child of the master process: the image has no ps.
WORKERS = (
    "for each in /proc/[0-9]*/stat; do { read -r _ name _ parent _ <$each; } 2>/dev/null && "
    'test "$name $parent" = "(haproxy) 1" && echo worker; done; :'
)


@dataclass(frozen=True)
class Server:
    """A node as a balancer sees it. ``sessions`` are the requests that it is answering."""

    up: bool
    drained: bool
    maintained: bool
    sessions: int

    @property
    def in_service(self) -> bool:
        """Whether it gets new requests."""
        return self.up and not (self.drained or self.maintained)

    def __str__(self) -> str:
        if self.maintained:
            return "in maintenance"
        if self.drained:
            return f"drained, {self.sessions} requests left"
        return "in service" if self.up else "down"


@dataclass(frozen=True)
class BalancerState:
    """``loaded`` is the digest of the configuration with which it runs; ``servers`` by name.
    ``workers`` are more than one while one from before a reload answers its last requests, of which
    the present one knows nothing."""

    loaded: str
    servers: Mapping[str, Server]
    workers: int = 1


def statistics(output: list[str]) -> list[dict[str, str]]:
    """Return the rows of HAProxy's statistics in an output.

    Raises:
        IndexError: it has none.
    """
    headers = [at for at, line in enumerate(output) if line.startswith("# pxname,")]
    return list(csv.DictReader([output[headers[0]][2:], *output[headers[0] + 1 :]]))


class Balancer(FactBase[BalancerState | None]):
    """The state of the HAProxy in a container; None if it doesn't answer."""

    def command(self, container: str) -> str:
        questions = ("show info", f"show servers state {BACKEND}", f"show stat {BACKEND} 4 -1")
        script = "; ".join(f"{ask(question)}; echo" for question in questions)
        return host_engine().output_of(container, f"{script}; {WORKERS}")

    @staticmethod
    def default() -> BalancerState | None:
        return None

    def process(self, output: list[str]) -> BalancerState | None:
        described = [line for line in output if line.startswith("description:")]
        if not described:
            return None
        # A row of a server begins with the number of its backend.
        rows_of_states = [line.split() for line in output]
        states = [row for row in rows_of_states if row[1:2] == [BACKEND] and row[0].isdigit()]
        try:
            rows = statistics(output)
            sessions = {row["svname"]: int(row["scur"]) for row in rows if row["pxname"] == BACKEND}
            return BalancerState(
                described[0].partition(":")[2].strip(),
                {
                    name: Server(
                        up=int(up) == UP,
                        drained=bool(int(admin) & DRAIN),
                        maintained=bool(int(admin) & MAINTENANCE),
                        sessions=sessions[name],
                    )
                    for _, _, _, name, _, up, admin, *_ in states
                },
                max(1, output.count("worker")),
            )
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise FactProcessError(f"HAProxy's answer can't be read: {error}") from error


class Withdrawn(FactBase[list[str]]):
    """The balancers in which a run has drained a node, by the note that it made."""

    def command(self, path: str) -> str:
        return f"cat {shlex.quote(path)} 2>/dev/null || :"

    @staticmethod
    def default() -> list[str]:
        return []

    def process(self, output: list[str]) -> list[str]:
        return output
