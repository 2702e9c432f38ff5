"""The inventory's hosts, and those that --hosts selects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from testinfra.backend import parse_hostspec
from testinfra.backend.base import BaseBackend

from operations.runtime import inventories
from quaylab.settings.loading import HostInput


def read(inventory: Path, data: Sequence[str]) -> list[HostInput]:
    """Return an inventory's hosts with their groups and data, as a run of pyinfra has them."""
    for item in data:
        if "=" not in item:
            raise pytest.UsageError(f"--data {item}: is not KEY=VALUE")
    if not inventory.is_file():
        raise pytest.UsageError(f"--inventory: {inventory} is not a file")
    try:
        return inventories.read(inventory, data)
    except ValueError as error:
        raise pytest.UsageError(f"--inventory: {inventory}: {error}") from None


def select(hosts: Sequence[HostInput], wanted: str) -> list[HostInput]:
    """Return the hosts that a comma-separated list selects, in the inventory's order."""
    chosen: set[str] = set()
    for word in wanted.split(","):
        found = list(_matching(hosts, word.strip()))
        if not found:
            names = ", ".join(host.name for host in hosts) or "none"
            groups = ", ".join(sorted({group for host in hosts for group in host.groups}))
            raise pytest.UsageError(
                f"--hosts: {word.strip()!r} is none of the inventory's hosts ({names}) or groups "
                f"({groups or 'none'}); `all` means every host"
            )
        chosen.update(found)
    return [host for host in hosts if host.name in chosen]


def _matching(hosts: Sequence[HostInput], word: str) -> Iterator[str]:
    """Yield the hosts that a group, a name or a testinfra host specification selects."""
    name, options = parse_hostspec(word)
    scheme = options.get("connection")
    port = None
    if scheme == "local":
        name = "@local"
    elif scheme == "docker":
        name = f"@docker/{name}"
    elif scheme:
        specification = BaseBackend.parse_hostspec(name)
        name, port = specification.name, specification.port
    for host in hosts:
        in_group = scheme is None and word in ("all", *host.groups)
        same_port = port in (None, str(host.data.get("ssh_port", 22)))
        if in_group or (name in _names(host) and same_port):
            yield host.name


def _names(host: HostInput) -> tuple[object, ...]:
    """Return a host's name, and the addresses in its data."""
    short = host.name.removeprefix("@ssh/")
    return host.name, short, host.data.get("ssh_hostname"), host.data.get("address")
