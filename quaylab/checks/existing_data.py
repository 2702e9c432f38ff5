"""Containers and data that are on a host already, and that a run would put something else over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quaylab.checks import ownership
from quaylab.hosts.machine import Machine
from quaylab.model import CREDENTIALS_LABEL, DATA_LABEL, PATH_LABEL, REGISTRY_LABEL, Volume
from quaylab.services.base import Workload

# The setting that moves a label, for the error's first word; a path's is the volume's own.
SETTINGS = {DATA_LABEL: "database_engine", REGISTRY_LABEL: "image_source"}


def container_problems(name: str, machine: Machine, workloads: Iterable[Workload]) -> Iterator[str]:
    """Containers in whose place this run would put its own."""
    for container in ownership.made_by_hand(machine, workloads):
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
        settings = {**SETTINGS, PATH_LABEL: want.setting}
        for label, setting in settings.items():
            found, right = volume.labels.get(label), want.labels[label]
            if found != right:
                yield (
                    f"{setting}: volume {volume.name} on {name} is of {found or 'the engine'}, "
                    f"and this run would make it {right or 'the engine'}'s; nothing is put over "
                    "existing data: set it back, or dump the data, purge and restore it"
                )
