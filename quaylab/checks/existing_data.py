"""Existing containers and data that a run would replace with something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from quaylab.checks import ownership
from quaylab.engines import BY_NAME as ENGINES
from quaylab.hosts.machine import Machine
from quaylab.model import CREDENTIALS_LABEL, DATA_LABEL, IMPLEMENTATION_LABEL, PATH_LABEL, Volume
from quaylab.services.base import Workload

# The setting that determines a label, for the error; that of the path is the volume's own.
SETTINGS = {DATA_LABEL: "database_engine", IMPLEMENTATION_LABEL: "image_source"}


def container_problems(name: str, machine: Machine, workloads: Iterable[Workload]) -> Iterator[str]:
    """Yield containers of others that this run would replace."""
    for container in ownership.foreign_containers(machine, workloads):
        yield (
            f"{name}: container {container} was not made by Quaylab, which won't remove what may "
            "hold somebody's data; remove it there yourself, or give it another name: "
            f"{ENGINES[machine.container_engine].make_room(container)}"
        )


def _is_another_major(found: str | None, expected: str) -> bool:
    return all((each or "").startswith("postgresql") for each in (found, expected))


def data_problems(name: str, machine: Machine, wanted: Mapping[str, Volume]) -> Iterator[str]:
    """Yield volumes of a host that don't match this run."""
    for volume in machine.volumes:
        match = wanted.get(volume.name)
        if match is None:
            continue
        if CREDENTIALS_LABEL not in volume.labels:
            yield (
                f"{name}: volume {volume.name} was not made by Quaylab, which won't use what may "
                "be somebody's data; copy what is needed, then run there: "
                f"{machine.container_engine} volume rm {volume.name}"
            )
            continue
        settings = {**SETTINGS, PATH_LABEL: match.setting}
        for label, setting in settings.items():
            found, expected = volume.labels.get(label), match.labels[label]
            if found != expected:
                if label == DATA_LABEL and _is_another_major(found, expected):
                    yield (
                        f"postgresql_image: volume {volume.name} on {name} is of {found}, but this "
                        f"run needs {expected}, which can't read it; set it back, or follow "
                        "docs/upgrade.md#another-major-version-of-postgresql"
                    )
                    continue
                place, none = "of", "an unknown kind"
                if label == PATH_LABEL:
                    place, none = "in", "the engine's own directory"
                yield (
                    f"{setting}: volume {volume.name} on {name} is {place} {found or none}, "
                    f"but this run needs {expected or none}; existing data is never "
                    "overwritten: set it back, or dump the data, purge and restore it"
                )
