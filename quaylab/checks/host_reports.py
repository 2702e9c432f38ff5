"""What hosts report against what the run would do: reasons to stop before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quaylab.checks import ownership
from quaylab.containers import CREDENTIALS_LABEL
from quaylab.hosts.machine import DEBIAN_FAMILY, RED_HAT_FAMILY, Machine
from quaylab.parts import DATA_LABEL, PATH_LABEL, REGISTRY_LABEL, STORAGE_VOLUME, Part, Volume
from quaylab.topology import container_name

# The setting that moves a label, for the error's first word.
SETTINGS = {
    DATA_LABEL: "database_engine",
    REGISTRY_LABEL: "image_source",
}
# And the setting that moves a volume.
PATH_SETTINGS = {
    container_name("database"): "database_data",
    STORAGE_VOLUME: "quay_storage_path",
    container_name("ceph"): "ceph_data",
}


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


def container_problems(name: str, machine: Machine, parts: Iterable[Part]) -> Iterator[str]:
    """Containers in whose place this run would put its own."""
    for container in ownership.made_by_hand(machine, parts):
        yield (
            f"{name}: container {container} was not made by Quaylab, which won't remove what may "
            "hold somebody's data; remove it there yourself, or give it another name: "
            f"docker rename {container} NAME"
        )


def data_problems(name: str, machine: Machine, wanted: Mapping[str, Volume]) -> Iterator[str]:
    """Data on a host that this run would put something else over."""
    for volume in machine.volumes:
        want = wanted.get(volume.name)
        if want is None:
            continue
        if CREDENTIALS_LABEL not in volume.labels:
            yield (
                f"{name}: volume {volume.name} was not made by Quaylab, which won't use what may "
                "be somebody's data; copy what is needed, then run there: docker volume rm "
                f"{volume.name}"
            )
            continue
        settings = {**SETTINGS, PATH_LABEL: PATH_SETTINGS[volume.name]}
        for label, setting in settings.items():
            found, right = volume.labels.get(label), want.labels[label]
            if found != right:
                yield (
                    f"{setting}: volume {volume.name} on {name} is of {found or 'the engine'}, "
                    f"and this run would make it {right or 'the engine'}'s; nothing is put over "
                    "existing data: set it back, or dump the data, purge and restore it"
                )
