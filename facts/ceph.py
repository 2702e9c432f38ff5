"""Ceph: the cluster's health, version and daemons, the gateway's users and buckets."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.scripts import ceph_report


@dataclass(frozen=True)
class CephState:
    """A cluster as it is.

    ``health`` is Ceph's own word (HEALTH_OK, …), ``checks`` what it finds fault with; ``daemons``
    are counted by kind. ``users`` have a digest of what they are made of, ``buckets`` their owner.
    """

    health: str
    checks: tuple[str, ...]
    version: str
    daemons: Mapping[str, int]
    users: Mapping[str, str]
    buckets: Mapping[str, str]


class Ceph(FactBase[CephState | None]):
    """A :class:`CephState`; None while the cluster does not answer. No secret leaves the host."""

    def command(self, shell: Sequence[str]) -> StringCommand:
        words = (*shell, "python3", "-c", inspect.getsource(ceph_report))
        return StringCommand(*map(QuoteString, words), "2>/dev/null || :")

    @staticmethod
    def default() -> CephState | None:
        return None

    def process(self, output: list[str]) -> CephState | None:
        # cephadm tells what it does before the command's own line.
        line = next((line for line in output if line.startswith("{")), None)
        if line is None:
            return None
        try:
            said = json.loads(line)
            # "ceph version 18.2.7 (6b0e98…) reef (stable)": how many daemons run it, by kind.
            kinds = {kind: each for kind, each in said["versions"].items() if kind != "overall"}
            versions = {words for each in kinds.values() for words in each}
            return CephState(
                health=said["health"],
                checks=tuple(said["checks"]),
                version=", ".join(sorted({words.split()[2] for words in versions})),
                daemons={kind: sum(each.values()) for kind, each in kinds.items() if each},
                users=said["users"],
                buckets=said["buckets"],
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise FactProcessError(f"Ceph's report can't be read: {error}") from error
