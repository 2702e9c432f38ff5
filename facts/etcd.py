"""The members of etcd."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pyinfra.api import StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.services.etcd import ETCDCTL, ETCDCTL_OF_ALL


@dataclass(frozen=True)
class EtcdMember:
    """A member. ``name`` is empty until it has started for the first time, and tells it."""

    id: str
    name: str
    peer_url: str

    @property
    def address(self) -> str:
        """Where the others reach it."""
        return str(urlsplit(self.peer_url).hostname)

    @property
    def handle(self) -> str:
        """By what it can be named: its name, or its address while it has none."""
        return self.name or self.address


class AnsweringEtcd(FactBase[tuple[str, ...]]):
    """The addresses of the members that answer, and know a majority.

    + container: the container of one of them
    """

    def command(self, container: str) -> StringCommand:
        # It fails if one does not answer.
        asking = f"{ETCDCTL_OF_ALL} --command-timeout=5s endpoint health 2>/dev/null || :"
        return StringCommand(host_engine().output_of(container, asking))

    @staticmethod
    def default() -> tuple[str, ...]:
        return ()

    def process(self, output: list[str]) -> tuple[str, ...]:
        return tuple(line.split()[0] for line in output if " is healthy: " in line)


class Etcd(FactBase[tuple[EtcdMember, ...] | None]):
    """The members that a majority knows; None if there is no majority, or no etcd.

    + container: the container of one of them
    """

    def command(self, container: str) -> StringCommand:
        listing = f"{ETCDCTL} --command-timeout=5s member list"
        return StringCommand(host_engine().output_of(container, listing))

    @staticmethod
    def default() -> tuple[EtcdMember, ...] | None:
        return None

    def process(self, output: list[str]) -> tuple[EtcdMember, ...] | None:
        # ID, status, name, peer URLs, client URLs, whether it is a learner.
        rows = [line.split(", ") for line in output if line.strip()]
        if any(len(row) < 4 for row in rows):
            raise FactProcessError(f"etcd's answer can't be read: {output[:1]}")
        return tuple(EtcdMember(row[0], row[2], row[3]) for row in rows) or None
