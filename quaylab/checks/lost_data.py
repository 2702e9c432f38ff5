"""Data that the leader's notes say must be there, and isn't: an empty one would take its place."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping

from quaylab.checks import blob_location
from quaylab.checks.host_reports import PATH_SETTINGS
from quaylab.hosts.machine import Machine
from quaylab.hosts.machine import Volume as Found
from quaylab.parts import PATH_LABEL, STORAGE_VOLUME, Volume
from quaylab.topology import Topology, container_name
from quaylab.upgrade import schema_version

DATABASE, CEPH = container_name("database"), container_name("ceph")
# The group whose host has a volume.
GROUPS = {DATABASE: "database", CEPH: "ceph", STORAGE_VOLUME: "quay"}


def problems(
    name: str,
    machines: Mapping[str, Machine],
    topology: Topology,
    volumes_of: Callable[[str], Mapping[str, Volume]],
) -> Iterator[str]:
    """Why a host lacks data of the registry.

    Args:
        machines: the connected hosts; without the leader nothing is known.
        volumes_of: the volumes that a host is to have.
    """
    leader = machines.get(topology.leader)
    if leader is None or machines[name].hides_data:
        return
    there = {volume.name: volume for volume in machines[name].volumes}
    for volume in volumes_of(name).values():
        note, found = _note(volume.name, leader, topology), there.get(volume.name)
        if note is None or (found and not _holds_nothing(found)):
            continue
        said = f"but {note} on {topology.leader} says that it holds data of the registry"
        if found is None:
            what = f"{name}: volume {volume.name} is not on {name}, {said}"
            remedy = (
                "make it again, and put its data back from a backup: docker volume create "
                + shlex.join(volume.create_arguments())
            )
            for other, machine in machines.items():
                if any(each.name == volume.name for each in machine.volumes):
                    again = f"put that host into the group `{GROUPS[volume.name]}` again"
                    remedy = f"it is on {other}: {again}; or {remedy}"
        elif found.device:
            what = (
                f"{PATH_SETTINGS[volume.name]}: nothing is in {found.device} on {name}, {said} "
                f"({volume.name})"
            )
            remedy = f"mount the disk of {volume.path}, or put the data back from a backup"
        else:
            what = f"{name}: volume {volume.name} on {name} is empty, {said}"
            remedy = "put its data back from a backup"
        if volume.name == DATABASE:
            remedy += ", or restore a dump: tasks/restore_database.py"
        yield (
            f"{what}; {remedy}, or begin anew without any of the registry's data: "
            f"tasks/teardown.py --data purge={topology.hostname}"
        )


def _note(volume: str, leader: Machine, topology: Topology) -> str | None:
    """The note by which a volume must hold data; None if nothing is known of it."""
    if volume == DATABASE:
        return schema_version.SCHEMA if leader.schema else None
    # Whose the blobs are, the location's name, and the kind of store.
    kind = (leader.storage or "").split()[2:3]
    expected = {STORAGE_VOLUME: ["local"], CEPH: ["radosgw"]}
    return blob_location.NOTE if kind == expected[volume] else None


def _holds_nothing(volume: Found) -> bool:
    """Whether a volume's data is not where it has to be. A registry may be without any blob; but
    where the mount point itself is the volume, that is what a missing disk looks like."""
    if volume.name == STORAGE_VOLUME and volume.device != volume.labels.get(PATH_LABEL):
        return volume.missing
    return volume.empty
