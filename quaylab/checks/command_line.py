"""pyinfra's options with which a run would succeed although it did nothing, or only a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from quaylab.settings.loading import HostInput

# No host may go on while another is behind or lost: Quay's schema is migrated only after the
# database's host has dumped it.
TOGETHER = ("no_wait", "serial", "fail_percent")
# The tasks that a setting for a single run is for.
TASKS: Mapping[str, tuple[str, ...]] = {
    "forget": ("tasks/forget_member.py",),
    "purge": ("tasks/teardown.py", "tasks/teardown_openshift.py", "tasks/teardown_hypervisor.py"),
    "purge_engine": ("tasks/purge_engine.py",),
    # `./lab up` gives it to both.
    "reimage": ("tasks/hypervisor.py", "deploy.py"),
    "restore": ("tasks/restore_database.py", "tasks/restore_openshift.py"),
}


def option_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with single options; the keys are click's parameter names."""
    for name in TOGETHER:
        if options[name]:
            option = f"--{name.replace('_', '-')}"
            yield f"{option}: leave it out; hosts wait for each other, and one that fails stops all"
    if options["dry"] and options["yes"]:
        yield (
            "--dry: pyinfra plans nothing with --yes, or with PYINFRA_YES in the environment; "
            "leave that out"
        )
    yield from data_problems(options["data"])
    # With a negative number pyinfra runs nothing and reports no change.
    if (options["retry"] or 0) < 0:
        yield f"--retry: {options['retry']} is not a number of retries; leave it out for none"
    if (options["parallel"] or 0) < 0:
        yield f"--parallel: {options['parallel']} is not a number of hosts; leave it out for all"
    port = options["ssh_port"]
    if port is not None and not 1 <= port <= 65535:
        yield f"--ssh-port: {port} is not a port; leave it out for 22"


def data_problems(items: Sequence[str]) -> Iterator[str]:
    """Yield what in --data is not an assignment."""
    for item in items:
        if item.find("=") < 1:
            yield f"--data: {item} is not KEY=VALUE"


def action_problems(hosts: Sequence[HostInput], operations: Sequence[str]) -> Iterator[str]:
    """Yield settings for another task than those of a run, which would ignore them.

    Args:
        operations: pyinfra's arguments after the inventory.
    """
    words = list(map(Path, operations))
    if not all(word.name == "deploy.py" or word.parent.name == "tasks" for word in words):
        return  # a deploy file of the user's own may include any task
    for key, tasks in TASKS.items():
        is_set = any(host.data.get(key) for host in hosts)
        if is_set and not {word.name for word in words} & {Path(task).name for task in tasks}:
            takers = " or ".join(task for task in tasks if task.startswith("tasks/"))
            yield (
                f"{key}: is set, and {' and '.join(operations)} would ignore it; leave it out, or "
                f"run {takers}"
            )


def limit_problems(
    hosts: Sequence[HostInput], options: Mapping[str, Sequence[str]], chosen: int
) -> Iterator[str]:
    """Yield patterns that match nothing; pyinfra itself only warns of them.

    Args:
        hosts: all hosts of the inventory.
        chosen: the number of hosts that remain after --limit and --exclude.
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
        yield (
            f"--limit: {pattern!r} is neither a host nor a group of the inventory, which has: "
            f"{known}"
        )
    if options["limit"] and not unmatched and not chosen:
        yield "--exclude: leaves no host of --limit"
