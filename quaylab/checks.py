"""What hosts report against what the run would do: reasons to stop before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quaylab.credentials import Store
from quaylab.machine import DEBIAN_FAMILY, RED_HAT_FAMILY, Machine
from quaylab.parts import CREDENTIALS_LABEL, DATA_LABEL, PATH_LABEL, REGISTRY_LABEL, Volume

# The setting that moves a label, for the error's first word.
SETTINGS = {
    DATA_LABEL: "database_engine",
    PATH_LABEL: "database_data",
    REGISTRY_LABEL: "image_source",
}


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


def data_problems(
    name: str, machine: Machine, wanted: Mapping[str, Volume], store: Store
) -> Iterator[str]:
    """Data on a host that this run would put something else over."""
    for volume in machine.volumes:
        want = wanted.get(volume.name)
        if want is None:
            continue
        owner = volume.labels.get(CREDENTIALS_LABEL)
        if owner != want.labels[CREDENTIALS_LABEL]:
            state = "is of another registry" if store.exists else "is missing"
            yield (
                f"lab_name: volume {volume.name} on {name} belongs to the credentials {owner}, "
                f"and {store.path} {state}; restore that file from a backup, read it back with "
                "tasks/adopt.py, name the registry it belongs to, or remove the data: "
                "tasks/teardown.py --data purge=NAME"
            )
        for label, setting in SETTINGS.items():
            found, right = volume.labels.get(label), want.labels[label]
            if found != right:
                if label == PATH_LABEL and "storage" in volume.name:
                    setting = "quay_storage_path"
                yield (
                    f"{setting}: volume {volume.name} on {name} is of {found or 'the engine'}, "
                    f"and this run would make it {right or 'the engine'}'s; nothing is put over "
                    "existing data: set it back, or dump the data, purge and restore it"
                )
