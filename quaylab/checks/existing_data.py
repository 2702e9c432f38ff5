"""Existing containers and data that a run would replace with something else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping

from quaylab.checks import ownership
from quaylab.engines import BY_NAME as ENGINES
from quaylab.engines.state import FoundVolume
from quaylab.hosts.machine import Machine
from quaylab.model import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    IMPLEMENTATION_LABEL,
    PATH_LABEL,
    Volume,
    container_name,
)
from quaylab.services.base import Workload

# The setting of the image that works with a database's data, by how the data's name begins.
IMAGES = {"postgres": "postgresql_image", "mysql": "mysql_image", "mariadb": "mysql_image"}


def container_problems(name: str, machine: Machine, workloads: Iterable[Workload]) -> Iterator[str]:
    """Yield containers of others that this run would replace."""
    for container in ownership.foreign_containers(machine, workloads):
        yield (
            f"{name}: container {container} was not made by Quaylab, which won't remove what may "
            "hold somebody's data; remove it there yourself, or give it another name: "
            f"{ENGINES[machine.container_engine].make_room(container)}"
        )


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
                f"{ENGINES[machine.container_engine].remove_volume_command(volume.name)}"
            )
            continue
        what = f"volume {volume.name} on {name}"

        labels = (DATA_LABEL, PATH_LABEL, IMPLEMENTATION_LABEL)
        differing = [each for each in labels if volume.labels.get(each) != match.labels[each]]
        if DATA_LABEL in differing:
            yield _other_data(what, volume.labels.get(DATA_LABEL, ""), match.labels[DATA_LABEL])
        if PATH_LABEL in differing:
            yield (
                f"{match.setting}: {what} is in {_directory(volume.labels.get(PATH_LABEL))}, but "
                f"this run needs {_directory(match.path)}; set it back, or move the data: run "
                f"there, and then this again: {_move(machine, volume, match)}"
            )
        if IMPLEMENTATION_LABEL in differing:
            found = volume.labels.get(IMPLEMENTATION_LABEL, "an unknown kind")
            yield (
                f"image_source: {what} is of {found}, but this run needs "
                f"{match.labels[IMPLEMENTATION_LABEL]}, which can't use it; set it back, or take "
                "another host"
            )


def _other_data(what: str, found: str, expected: str) -> str:
    setting = _image_setting(expected)
    if setting and setting == _image_setting(found):
        return (
            f"{setting}: {what} is of {found}, but this run needs {expected}, which may not read "
            "it; set it back, or follow docs/upgrade.md#another-major-version"
        )
    return (
        f"database_engine: {what} is of {found or 'an unknown kind'}, but this run needs "
        f"{expected}, which can't read it, nor a dump of it; set it back, or take another host"
    )


def _image_setting(data: str) -> str | None:
    return next((setting for start, setting in IMAGES.items() if data.startswith(start)), None)


def _directory(path: str | None) -> str:
    return path or "the engine's own directory"


def _move(machine: Machine, found: FoundVolume, wanted: Volume) -> str:
    """Return the commands that move a volume to its wanted directory, for a message to people."""
    engine = ENGINES[machine.container_engine]
    name = re.compile(re.escape(container_name(wanted.service)) + "(-[0-9]+)?")
    users = sorted(filter(name.fullmatch, machine.own_containers))
    remove = engine.remove_volume(found.name, found.device)
    create = engine.create_volume(wanted)
    own = f'"$({engine.mountpoint(found.name)})"'
    old = shlex.quote(found.device) if found.device else own
    if wanted.path and wanted.device:
        new = shlex.quote(wanted.device)
        steps = [f"mkdir -p {shlex.quote(wanted.path)}", f"mv -T {old} {new}", remove, create]
    else:
        steps = [remove, create, f"mv -T {old} {own}"]
    return " && ".join([*map(engine.remove, users), *steps])
