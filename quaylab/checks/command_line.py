"""Options of pyinfra's by which a run would be green although it did nothing, or half of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from quaylab.settings.loading import HostInput

# A host must not go on while another is behind or lost: Quay's schema is changed once the
# database's host has dumped it.
TOGETHER = ("no_wait", "serial", "fail_percent")


def option_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with options by themselves, by their names as click has them."""
    for name in TOGETHER:
        if options[name]:
            option = f"--{name.replace('_', '-')}"
            yield f"{option}: leave it out; hosts wait for each other, and one that fails stops all"
    for item in options["data"]:
        if item.find("=") < 1:
            yield f"--data: {item} is no KEY=VALUE"
    # With a negative one pyinfra runs nothing, and calls that no change.
    if (options["retry"] or 0) < 0:
        yield f"--retry: {options['retry']} is no number of retries; leave it out for none"
    if (options["parallel"] or 0) < 0:
        yield f"--parallel: {options['parallel']} is no number of hosts; leave it out for all"
    port = options["ssh_port"]
    if port is not None and not 1 <= port <= 65535:
        yield f"--ssh-port: {port} is no port; leave it out for 22"


def limit_problems(
    hosts: Sequence[HostInput], options: Mapping[str, Sequence[str]], chosen: int
) -> Iterator[str]:
    """Patterns that match nothing, as pyinfra matches them, which only warns.

    Args:
        hosts: all of the inventory.
        chosen: how many of them are left by --limit and --exclude.
    """
    unmatched = [
        pattern
        for pattern in options["limit"]
        if not any(pattern in host.groups or fnmatch(host.name, pattern) for host in hosts)
    ]
    known = ", ".join(
        dict.fromkeys(
            [*(host.name for host in hosts), *(group for host in hosts for group in host.groups)]
        )
    )
    for pattern in unmatched:
        yield f"--limit: {pattern!r} is no host and no group of the inventory, which has: {known}"
    if options["limit"] and not unmatched and not chosen:
        yield "--exclude: leaves no host of --limit"
