"""The owner of a host: containers and volumes are labelled with the credentials' fingerprint.

A host serves one registry only, as there is one configuration, one set of notes and one network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from quaylab import __version__
from quaylab.hosts.machine import Machine
from quaylab.model import CREDENTIALS_LABEL, ManagedFile
from quaylab.paths import REGISTRY_NOTE, STORAGE_NOTE
from quaylab.secrets.credentials import Credentials, Store
from quaylab.services.base import Workload
from quaylab.services.ceph import cluster_id
from quaylab.topology import Topology


class RegistryNote(NamedTuple):
    """A host's note of the registry that it serves, by the engine of this name."""

    fingerprint: str
    registry: str
    lab_name: str
    engine: str = ""


def note(topology: Topology, credentials: Credentials, lab_name: str, engine: str) -> ManagedFile:
    """Return the note of the registry, with the version of Quaylab that deployed it last."""
    words = credentials.fingerprint, topology.registry, lab_name, __version__, engine
    return ManagedFile(REGISTRY_NOTE, " ".join(words) + "\n")


def read_note(machine: Machine) -> RegistryNote | None:
    """Return a host's note; None without one. Older notes have no engine, or no version either."""
    match (machine.registry or "").split():
        case [fingerprint, registry, lab_name] | [fingerprint, registry, lab_name, _]:
            return RegistryNote(fingerprint, registry, lab_name)
        case [fingerprint, registry, lab_name, _, engine]:
            return RegistryNote(fingerprint, registry, lab_name, engine)
    return None


def owners(machine: Machine) -> dict[str, list[str]]:
    """Return volumes, containers and notes of a host by the fingerprint of their owner."""
    found: dict[str, list[str]] = {}
    for volume in machine.volumes:
        if owner := volume.labels.get(CREDENTIALS_LABEL):
            found.setdefault(owner, []).append(f"volume {volume.name}")
    if machine.storage:
        found.setdefault(machine.storage.split()[0], []).append(STORAGE_NOTE)
    note = read_note(machine)
    for name, labels in machine.containers.items():
        # Containers from before this label belong to the owner of the note.
        default = note.fingerprint if note and name in machine.own_containers else None
        if owner := labels.get(CREDENTIALS_LABEL, default):
            found.setdefault(owner, []).append(f"container {name}")
    return found


def serves(machine: Machine, fingerprint: str) -> bool:
    """Whether a host's note names the registry with this fingerprint of its credentials."""
    note = read_note(machine)
    return note is not None and note.fingerprint == fingerprint


def own_containers(machine: Machine, fingerprint: str) -> frozenset[str]:
    """Return the names of the containers of the registry with this fingerprint: a host that is in
    none of its groups, such as its hypervisor, may serve another one."""
    note = read_note(machine)
    default = note.fingerprint if note else fingerprint
    return frozenset(
        name
        for name in machine.own_containers
        if machine.containers[name].get(CREDENTIALS_LABEL, default) == fingerprint
    )


def former_quays(
    topology: Topology, machines: Mapping[str, Machine], fingerprint: str
) -> tuple[str, ...]:
    """Return the connected hosts that have left the group `quay` with notes of this registry's
    data. Where Quay's present hosts are new, nobody else knows what data there was.

    Without one of the present hosts there are none: theirs may say something newer.
    """
    if not any(host in machines for host in topology.quay):
        return ()
    return tuple(
        name
        for name, machine in machines.items()
        if name not in topology.quay
        and (machine.schema or machine.storage)
        and serves(machine, fingerprint)
    )


def foreign_containers(machine: Machine, workloads: Iterable[Workload]) -> list[str]:
    """Return containers with the names of ours that Quaylab has not made."""
    foreign = machine.containers.keys() - machine.own_containers
    names = [workload.container.name for workload in workloads]
    return [name for name in names if name in foreign]


def problems(name: str, machine: Machine, credentials: Credentials, store: Store) -> Iterator[str]:
    """Yield what belongs to another registry on a host."""
    ours = credentials.fingerprint
    note = read_note(machine)
    for owner, things in owners(machine).items():
        if owner == ours:
            continue
        what = f"{', '.join(things)} on {name}"
        if owner.partition("-")[0] == ours.partition("-")[0]:
            yield (
                f"database_secret_key: {what} was encrypted with another key than {store.path} "
                "holds; restore that file from a backup, or move it away and read it back with "
                "tasks/adopt.py"
            )
            continue
        owned_by, purge = f"the credentials {owner}", "NAME"
        if note and note.fingerprint == owner:
            owned_by += f" (registry {note.registry}, lab_name {note.lab_name})"
            purge = note.registry.partition(":")[0]
        state = "is of another registry" if store.exists else "is missing"
        yield (
            f"lab_name: {what} belongs to {owned_by}, and {store.path} {state}; restore that file "
            "from a backup, read it back with tasks/adopt.py, or run with the inventory and the "
            "credentials of the registry that it belongs to, which also remove it: "
            f"tasks/teardown.py --data purge={purge}"
        )
    if machine.bootstrapped_cluster not in (None, cluster_id(credentials)):
        yield (
            f"ceph: the Ceph cluster {machine.bootstrapped_cluster} on {name} belongs to another "
            "registry; take that one down with its own inventory, or choose another host"
        )
