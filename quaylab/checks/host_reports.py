"""Hosts that can't be used at all, by what they report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quaylab.hosts.machine import DEBIAN_FAMILY, RED_HAT_FAMILY, Machine


def silent_problem(name: str, output: str | None) -> str:
    """Say why a host reports nothing.

    Args:
        output: what sudo or the login shell prints for any command; None if commands run.
    """
    if output is None:
        return f"{name}: its report can't be read; the error stands above"
    if "must have a tty" in output:
        return (
            f"_sudo: sudo on {name} wants a terminal; write `Defaults:USER !requiretty` into its "
            "sudoers, for the user that you log in as"
        )
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "nothing")
    return (
        f"{name}: runs no command for this user, and says: {last.strip()}; set ssh_user to a "
        "user who has a shell and may become root with _sudo"
    )


def password_problem(name: str, is_given: bool) -> str:
    """Say why sudo asks for a password where nobody can type one."""
    if is_given:
        return (
            f"_sudo: sudo on {name} does not get the _sudo_password, or refuses it; pyinfra hands "
            "it over by a file that sudo runs in /tmp; if /tmp is mounted noexec set _temp_dir to "
            "another directory in the host's data, or allow this user NOPASSWD in sudoers"
        )
    return (
        f"_sudo: {name} asks for a password, and there is no terminal to type it at; "
        "set _sudo_password, or allow this user NOPASSWD in sudoers"
    )


def machine_problems(name: str, machine: Machine) -> Iterator[str]:
    """Yield why Quaylab can't work on a host at all."""
    if machine.uid != 0:
        yield (
            f"_sudo: on {name} commands run as uid {machine.uid}, not as root; "
            "add --sudo, or `_sudo = True` to the host's data"
        )
    if not (machine.debian_family or machine.red_hat_family):
        known = ", ".join((*DEBIAN_FAMILY, *RED_HAT_FAMILY))
        found = machine.os_id or "unknown"
        yield f"{name}: its operating system is {found}; Quaylab supports: {known}"


def hypervisor_problems(name: str, machine: Machine) -> Iterator[str]:
    """Yield why a host can't run VMs."""
    yield from machine_problems(name, machine)
    if machine.architecture != "x86_64":
        yield f"{name}: its architecture is {machine.architecture}; VMs are made on x86_64 only"


def engine_problems(name: str, machine: Machine) -> Iterator[str]:
    """Yield why a host's container engine can't be used."""
    if machine.engine and machine.engine.unsupported:
        yield f"{name}: its `{machine.container_engine}` is {machine.engine.unsupported}"


def absent_problems(
    action: str, needed: Iterable[str], machines: Mapping[str, Machine]
) -> Iterator[str]:
    """Yield hosts that an action needs and that the run is not connected to."""
    for name in needed:
        if name not in machines:
            yield f"{action}: {name} takes no part in this run; leave out --limit and --exclude"
