"""What hosts report against what the run would do: reasons to stop before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quaylab.credentials import Store
from quaylab.machine import DEBIAN_FAMILY, RED_HAT_FAMILY, Machine
from quaylab.parts import (
    CREDENTIALS_LABEL,
    DATA_LABEL,
    PATH_LABEL,
    REGISTRY_LABEL,
    STORAGE_VOLUME,
    Volume,
)
from quaylab.topology import container_name

# The setting that moves a label, for the error's first word.
SETTINGS = {
    DATA_LABEL: "database_engine",
    PATH_LABEL: "database_data",
    REGISTRY_LABEL: "image_source",
}
# And where another volume than the database's has moved.
PATH_SETTINGS = {STORAGE_VOLUME: "quay_storage_path", container_name("ceph"): "ceph_data"}


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
    if machine.engine and machine.engine.unsupported:
        yield f"{name}: its `docker` is {machine.engine.unsupported}"


def owner_problems(what: str, owner: str, ours: str, store: Store) -> Iterator[str]:
    """Data of other credentials than the run's."""
    if owner == ours:
        return
    if owner.partition("-")[0] == ours.partition("-")[0]:
        yield (
            f"database_secret_key: {what} was encrypted with another key than {store.path} holds; "
            "restore that file from a backup, or move it away and read it back with tasks/adopt.py"
        )
        return
    state = "is of another registry" if store.exists else "is missing"
    yield (
        f"lab_name: {what} belongs to the credentials {owner}, and "
        f"{store.path} {state}; restore that file from a backup, read it back with tasks/adopt.py, "
        "name the registry it belongs to, or remove the data: tasks/teardown.py --data purge=NAME"
    )


def data_problems(
    name: str, machine: Machine, wanted: Mapping[str, Volume], store: Store
) -> Iterator[str]:
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
        owner, ours = volume.labels[CREDENTIALS_LABEL], want.labels[CREDENTIALS_LABEL]
        yield from owner_problems(f"volume {volume.name} on {name}", owner, ours, store)
        for label, setting in SETTINGS.items():
            found, right = volume.labels.get(label), want.labels[label]
            if found != right:
                if label == PATH_LABEL:
                    setting = PATH_SETTINGS.get(volume.name, setting)
                yield (
                    f"{setting}: volume {volume.name} on {name} is of {found or 'the engine'}, "
                    f"and this run would make it {right or 'the engine'}'s; nothing is put over "
                    "existing data: set it back, or dump the data, purge and restore it"
                )
