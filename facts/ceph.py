"""Ceph: the cluster's health, version and daemons, the gateway's users and buckets."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra.api import QuoteString, StringCommand
from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from quaylab.lines import by_first_word
from quaylab.scripts import ceph_report

AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"


@dataclass(frozen=True)
class CephState:
    """A cluster as it is.

    ``health`` is Ceph's own word (HEALTH_OK, …), ``checks`` are its warnings; ``daemons`` counts
    them by kind. ``users`` maps a user to the digest of its metadata, ``buckets`` a bucket to its
    owner; ``declared`` are the hosts and services of cephadm, with digests in the place of keys;
    ``osd_memory`` has who (as in ``ceph config set``), option and value.
    """

    health: str
    checks: tuple[str, ...]
    version: str
    daemons: Mapping[str, int]
    users: Mapping[str, str]
    buckets: Mapping[str, str]
    declared: Sequence[dict[str, Any]] = ()
    osd_memory: Sequence[tuple[str, str, str]] = ()


class Ceph(FactBase[CephState | None]):
    """A :class:`CephState`; None while the cluster does not answer. No secret leaves the host."""

    def command(self, shell: Sequence[str]) -> StringCommand:
        words = (*shell, "python3", "-c", inspect.getsource(ceph_report))
        return StringCommand(*map(QuoteString, words), "2>/dev/null || :")

    @staticmethod
    def default() -> CephState | None:
        return None

    def process(self, output: list[str]) -> CephState | None:
        line = json_line(output)
        if line is None:
            return None
        try:
            report = json.loads(line)
            # "ceph version 18.2.7 (6b0e98…) reef (stable)": how many daemons run it, by kind.
            kinds = {kind: each for kind, each in report["versions"].items() if kind != "overall"}
            versions = {words for each in kinds.values() for words in each}
            return CephState(
                health=report["health"],
                checks=tuple(report["checks"]),
                version=", ".join(sorted({words.split()[2] for words in versions})),
                daemons={kind: sum(each.values()) for kind, each in kinds.items() if each},
                users=report["users"],
                buckets=report["buckets"],
                declared=report["declared"],
                osd_memory=[(who, option, value) for who, option, value in report["osd_memory"]],
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise FactProcessError(f"Ceph's report can't be read: {error}") from error


def json_line(output: Iterable[str]) -> str | None:
    """Return the object that a command of Ceph's has printed; cephadm prints messages before."""
    return next((line for line in output if line.startswith("{")), None)


@dataclass(frozen=True)
class CephadmState:
    """What a host has of cephadm: its packages, the manager's key, its daemons.

    ``made``: a bootstrap has completed here; ``begun``: a bootstrap has left files here;
    ``installed``: systemd has the target of its daemons, which ``running`` says is active;
    ``gateways_to_restart``: a run has applied their specification, and then may have been killed.
    """

    packages: frozenset[str]
    authorized: bool
    made: bool
    begun: bool
    installed: bool
    running: bool
    gateways_to_restart: bool = False


class Cephadm(FactBase[CephadmState]):
    """A :class:`CephadmState` for the cluster with this id and the manager with this key. The
    notes are that of a cluster that was made, and that of gateways that have to restart."""

    def command(self, fsid: str, key: str, notes: tuple[str, str]) -> StringCommand:
        made, gateways = notes
        return StringCommand(
            "! command -v cephadm >/dev/null || echo package cephadm;",
            "! command -v lvcreate >/dev/null || echo package lvm2;",
            "! command -v chronyd >/dev/null || echo package chrony;",
            # Docker has its own.
            "{ command -v podman && ! command -v catatonit && "
            "! test -e /usr/libexec/podman/catatonit; } >/dev/null || echo package catatonit;",
            "! grep --quiet --fixed-strings --line-regexp", QuoteString(key),
            f"{AUTHORIZED_KEYS} 2>/dev/null || echo authorized;",
            f"test ! -e {gateways} || echo gateways_to_restart;",
            f"test ! -e {made} || echo made; test ! -d /var/lib/ceph/{fsid} || echo begun;",
            # cephadm's manager leaves files on a host before its first daemon.
            f"test ! -e /etc/systemd/system/ceph-{fsid}.target || echo installed;",
            f"! systemctl is-active --quiet ceph-{fsid}.target 2>/dev/null || echo running",
        )  # fmt: skip

    @staticmethod
    def default() -> CephadmState:
        return CephadmState(frozenset(), False, False, False, False, False)

    def process(self, output: list[str]) -> CephadmState:
        return CephadmState(
            packages=frozenset(by_first_word(output).get("package", [])),
            authorized="authorized" in output,
            made="made" in output,
            begun="begun" in output,
            installed="installed" in output,
            running="running" in output,
            gateways_to_restart="gateways_to_restart" in output,
        )


class Osds(FactBase[dict[str, str]]):
    """The content of existing paths: ``ours`` for an OSD of the cluster with this id, ``nothing``
    for a file that was never written to, ``osd`` for another OSD, or one of this cluster that a
    killed start has only begun, ``other`` for anything else."""

    def command(self, paths: list[str], fsid: str) -> StringCommand:
        return StringCommand(
            "for path in", *map(QuoteString, paths), '; do test -e "$path" || continue;',
            # BlueStore's label in the first block has the id as text.
            f'if head -c 4096 "$path" | grep --quiet --text --fixed-strings {fsid};',
            'then echo "ours $path";',
            'elif head -c 22 "$path" | grep --quiet --text --line-regexp',
            '"bluestore block device"; then echo "osd $path";',
            # A file system may store a small file without a block.
            'elif test -f "$path" && test "$(stat -L -c %b "$path")" = 0 &&',
            'test "$(head -c 4096 "$path" | tr -d "\\0" | wc -c)" = 0;',
            'then echo "nothing $path"; else echo "other $path"; fi; done 2>/dev/null',
        )  # fmt: skip

    @staticmethod
    def default() -> dict[str, str]:
        return {}

    def process(self, output: list[str]) -> dict[str, str]:
        return {path: kind for kind, _, path in (line.partition(" ") for line in output)}
