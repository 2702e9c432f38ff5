"""The same settings give the same registry, whichever engine runs it."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab import plan
from quaylab.engines import DOCKER, PODMAN, units
from quaylab.hosts.machine import EngineReport
from quaylab.plan import Plan
from quaylab.secrets.credentials import Store
from tests.unit.samples import certified, host, machine

NAME = "quay.example.com"


def _plan(store: Store, engine: str, **data: Any) -> Plan:
    found = machine(engines={"docker": EngineReport(), "podman": EngineReport()})
    return plan.make([host(NAME, container_engine=engine, **data)], {NAME: found}, store)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"image_source": "packages"},
        {"database_engine": "mysql"},
        {"quay_storage_path": "/srv/q"},
    ],
    ids=["defaults", "packages", "mysql", "a directory"],
)
def test_files_ports_volumes_and_digests_are_the_same(store: Store, data: dict[str, Any]) -> None:
    store.save(certified(NAME))
    by_docker, by_podman = (_plan(store, engine, **data) for engine in ("docker", "podman"))
    assert by_docker.engine_of(NAME) is DOCKER
    assert by_podman.engine_of(NAME) is PODMAN
    assert len(by_docker.workloads_of(NAME)) == 3
    for one, other in zip(by_docker.workloads_of(NAME), by_podman.workloads_of(NAME), strict=True):
        assert one == other
        assert [file.content for file in one.files] == [file.content for file in other.files]
        assert one.container.digest == other.container.digest
    assert by_docker.ports_of(NAME) == by_podman.ports_of(NAME)


def test_no_secret_is_in_a_unit(store: Store) -> None:
    store.save(certified(NAME))
    lab = _plan(store, "podman")
    secrets = {
        value.get_secret_value()
        for _, value in lab.credentials
        if hasattr(value, "get_secret_value")
    }
    assert secrets
    for workload in lab.workloads_of(NAME):
        assert not [secret for secret in secrets if secret in units.unit(workload.container)]
