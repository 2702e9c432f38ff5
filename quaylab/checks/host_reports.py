"""What hosts report of themselves: reasons why nothing can be done on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quaylab.hosts.machine import DEBIAN_FAMILY, RED_HAT_FAMILY, Machine


def silent_problem(name: str, said: str | None) -> str:
    """Why a host reports nothing.

    Args:
        said: the answer of sudo or of the user's login shell to any command; None if it runs them.
    """
    if said is None:
        return f"{name}: its report can't be read; the error stands above"
    if "must have a tty" in said:
        return (
            f"_sudo: sudo on {name} wants a terminal; write `Defaults:USER !requiretty` into its "
            "sudoers, for the user that you log in as"
        )
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "nothing")
    return (
        f"{name}: runs no command for this user, and says: {last.strip()}; log in as one with a "
        "shell, by ssh_user, and who may become root, by _sudo"
    )


def machine_problems(name: str, machine: Machine) -> Iterator[str]:
    """Hosts on which nothing can be done."""
    if machine.uid != 0:
        yield (
            f"_sudo: on {name} commands run as uid {machine.uid}, not as root; "
            "add --sudo, or `_sudo = True` to the host's data"
        )
    if not (machine.debian_family or machine.red_hat_family):
        known = ", ".join((*DEBIAN_FAMILY, *RED_HAT_FAMILY))
        yield f"{name}: its operating system is {machine.os_id or 'unknown'}; known are: {known}"


def hypervisor_problems(name: str, machine: Machine) -> Iterator[str]:
    """Hosts that can't run VMs."""
    yield from machine_problems(name, machine)
    if machine.architecture != "x86_64":
        yield f"{name}: its architecture is {machine.architecture}; VMs are made on x86_64 only"


def engine_problems(name: str, machine: Machine) -> Iterator[str]:
    """An engine that containers can't be run with."""
    if machine.engine and machine.engine.unsupported:
        yield f"{name}: its `docker` is {machine.engine.unsupported}"


def absent_problems(
    order: str, needed: Iterable[str], machines: Mapping[str, Machine]
) -> Iterator[str]:
    """Hosts without which an order would be done by half."""
    for name in needed:
        if name not in machines:
            yield f"{order}: {name} takes no part in this run; leave out --limit and --exclude"
