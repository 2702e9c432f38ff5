"""Which container engine a host uses: one only, and never another than the one with our data."""

from __future__ import annotations

from collections.abc import Iterator

from quaylab.engines import BY_NAME, DOCKER, PODMAN, ContainerEngine
from quaylab.hosts.machine import Machine
from quaylab.settings.loading import Settings


def choose(machine: Machine, settings: Settings) -> ContainerEngine:
    """Return the engine that a host uses: what is set, else the one that has what Quaylab made
    there, else its distribution's."""
    if settings.container_engine:
        return BY_NAME[settings.container_engine]
    with_ours = [name for name, report in machine.engines.items() if report.ours]
    if with_ours:
        return BY_NAME[with_ours[0]]
    # It may have data in Docker's volumes, which nobody sees while Docker doesn't answer.
    docker = machine.engines[DOCKER.name].engine if DOCKER.name in machine.engines else None
    serves_by_docker = machine.registry is not None and docker and not docker.is_shim
    return PODMAN if machine.ships_podman and not serves_by_docker else DOCKER


def problems(name: str, machine: Machine) -> Iterator[str]:
    """Yield what another engine than the chosen one has of ours: the two would share ports, files
    and notes, and the data would seem to be lost."""
    chosen = BY_NAME[machine.container_engine]
    for other, report in machine.engines.items():
        if other != chosen.name and report.ours:
            yield (
                f"container_engine: {name} has {', '.join(report.ours)} in {BY_NAME[other].title}, "
                f"and this run uses {chosen.title}; set it to {other}, or move the data first: "
                "docs/podman.md"
            )
    if chosen is PODMAN and not machine.systemd:
        yield (
            f"container_engine: {name} runs no systemd, which starts Podman's containers; set it "
            "to docker"
        )
