"""Data that is missing although notes record it: a new volume would be empty."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from quaylab.checks import ownership
from quaylab.engines import BY_NAME as ENGINES
from quaylab.engines.state import FoundVolume as Found
from quaylab.hosts.machine import Machine
from quaylab.model import CREDENTIALS_LABEL, PATH_LABEL, Volume
from quaylab.paths import REGISTRY_NOTE
from quaylab.services import BY_NAME
from quaylab.topology import Topology


def problems(
    name: str,
    machines: Mapping[str, Machine],
    topology: Topology,
    volumes_of: Callable[[str], Mapping[str, Volume]],
) -> Iterator[str]:
    """Yield data of the registry that is missing on a host.

    Args:
        machines: the connected hosts. Only Quay's, and those that had Quay before, know what there
            was, so without one of Quay's a host that has served the registry gets no new volume.
        volumes_of: returns the volumes that a host should have, by name.
    """
    quays = [host for host in topology.quay if host in machines]
    if machines[name].hides_data or machines[name].lost_its_engine:
        return
    existing = {volume.name: volume for volume in machines[name].volumes}
    for volume in volumes_of(name).values():
        found = existing.get(volume.name)
        service = BY_NAME[volume.service]
        if not service.keeps_data or (found and not is_lost(found, volume.may_be_empty)):
            continue
        if volume.is_replicated and _is_elsewhere(volume, name, machines, topology):
            continue
        fingerprint = volume.labels[CREDENTIALS_LABEL]
        if not quays and ownership.serves(machines[name], fingerprint):
            yield (
                f"{name}: volume {volume.name} {'is empty' if found else f'is not on {name}'}, and "
                f"{REGISTRY_NOTE} says that {name} has served the registry; what it held is noted "
                "on Quay's hosts, and none of them takes part in this run; leave out --limit and "
                "--exclude"
            )
            continue
        # A Quay host that is new has no note.
        knowing = [*quays, *ownership.former_quays(topology, machines, fingerprint)]
        notes = [(host, service.data_note(machines[host])) for host in knowing]
        noted = next(((host, note) for host, note in notes if note), None)
        if noted is None:
            continue
        reason = f"but {noted[1]} on {noted[0]} says that it holds data of the registry"
        if found is None:
            what = f"{name}: volume {volume.name} is not on {name}, {reason}"
            remedy = "make it again, and put its data back from a backup: " + ENGINES[
                machines[name].container_engine
            ].volume_command(volume)
            for other in machines.keys() - topology.hosts[volume.service]:
                if any(each.name == volume.name for each in machines[other].volumes):
                    again = f"put that host into the group `{volume.service}` again"
                    remedy = f"it is on {other}: {again}; or {remedy}"
        elif found.device:
            what = (
                f"{volume.setting}: nothing is in {found.device} on {name}, {reason} "
                f"({volume.name})"
            )
            remedy = f"mount the disk of {volume.path}, or put the data back from a backup"
        else:
            what = f"{name}: volume {volume.name} on {name} is empty, {reason}"
            remedy = "put its data back from a backup"
        if volume.restore:
            remedy += f", or {volume.restore}"
        yield (
            f"{what}; {remedy}, or start again without any of the registry's data: "
            f"tasks/teardown.py --data purge={topology.hostname}"
        )


def _is_elsewhere(
    volume: Volume, name: str, machines: Mapping[str, Machine], topology: Topology
) -> bool:
    """Whether another connected host of a service has the same data, which will be copied."""
    return any(
        each.name == volume.name and not is_lost(each, volume.may_be_empty)
        for host in topology.hosts[volume.service]
        if host in machines and host != name
        for each in machines[host].volumes
    )


def is_lost(found: Found, may_be_empty: bool) -> bool:
    """Whether a volume's data is missing. A registry without blobs may have an empty volume, unless
    the volume is itself a mount point, which is empty while its disk is not mounted."""
    if may_be_empty and found.device != found.labels.get(PATH_LABEL):
        return found.missing
    return found.empty
