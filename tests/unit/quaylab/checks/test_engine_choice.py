"""Which engine a host uses, and what is refused with it."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.checks import engine_choice
from quaylab.engines.state import Engine, FoundVolume
from quaylab.hosts.machine import EngineReport, Machine
from quaylab.model import CREDENTIALS_LABEL, DIGEST_LABEL
from tests.unit.samples import machine, settings

VOLUME = EngineReport(volumes=(FoundVolume("quaylab-database", {CREDENTIALS_LABEL: "owner"}),))
CONTAINER = EngineReport(containers={"quaylab-quay": {DIGEST_LABEL: "digest"}})
# A container and a volume with names like ours.
FOREIGN = EngineReport(
    volumes=(FoundVolume("quaylab-mirror", {}),), containers={"quaylab-mirror": {}}
)
SILENT = EngineReport(Engine(None, None, None))
SHIM = EngineReport(Engine(None, None, "Podman's shim", is_shim=True))
RHEL_9 = {"os_id": "rhel", "os_version": "9.4", "os_like": ("fedora",)}


def _machine(
    docker: EngineReport | None = None, podman: EngineReport | None = None, **changes: Any
) -> Machine:
    engines = {"docker": docker or EngineReport(), "podman": podman or EngineReport()}
    return machine(engines=engines, **changes)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "docker"),
        ({"os_id": "ubuntu", "os_version": "24.04"}, "docker"),
        ({"os_id": "rhel", "os_version": "7.9"}, "docker"),
        ({"os_id": "rhel", "os_version": "8.10"}, "podman"),
        (RHEL_9, "podman"),
        ({"os_id": "almalinux", "os_version": "10.1", "os_like": ("rhel",)}, "podman"),
        ({"os_id": "fedora", "os_version": "43"}, "podman"),
        ({"podman": VOLUME}, "podman"),
        ({"podman": CONTAINER}, "podman"),
        ({"podman": FOREIGN}, "docker"),
        ({**RHEL_9, "docker": CONTAINER}, "docker"),
        ({**RHEL_9, "docker": FOREIGN}, "podman"),
        # A registry by Docker, which doesn't answer at the moment.
        ({**RHEL_9, "docker": SILENT, "registry": "owner quay.example.com lab"}, "docker"),
        # podman-docker, and a run that was killed before it made containers.
        ({**RHEL_9, "docker": SHIM, "registry": "owner quay.example.com lab"}, "podman"),
        # After a move to Podman.
        (
            {
                **RHEL_9,
                "docker": SILENT,
                "podman": VOLUME,
                "registry": "owner quay.example.com lab",
            },
            "podman",
        ),
    ],
)
def test_engine_that_is_chosen(changes: dict[str, Any], name: str) -> None:
    assert engine_choice.choose(_machine(**changes), settings()).name == name


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_the_setting_decides(name: str) -> None:
    found = _machine(docker=VOLUME, podman=VOLUME)
    assert engine_choice.choose(found, settings(container_engine=name)).name == name


def test_another_engine_with_our_data_is_refused() -> None:
    found = _machine(docker=VOLUME).using("podman")
    (problem,) = engine_choice.problems("quay", found)
    assert problem == (
        "container_engine: quay has quaylab-database in Docker, and this run uses Podman; set it "
        "to docker, or move the data first: docs/podman.md"
    )
    assert [*engine_choice.problems("quay", _machine(docker=VOLUME).using("docker"))] == []


def test_both_engines_at_once_are_refused() -> None:
    found = _machine(docker=CONTAINER, podman=VOLUME)
    found = found.using(engine_choice.choose(found, settings()).name)
    (problem,) = engine_choice.problems("quay", found)
    assert "quaylab-database in Podman, and this run uses Docker" in problem


def test_things_of_others_in_another_engine_are_no_problem() -> None:
    assert [*engine_choice.problems("quay", _machine(podman=FOREIGN).using("docker"))] == []


def test_podman_without_systemd_is_refused() -> None:
    (problem,) = engine_choice.problems("quay", _machine(systemd=False).using("podman"))
    assert problem.startswith("container_engine: quay runs no systemd")
