"""Which engine a host uses, and what is refused with it."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab.checks import engine_choice
from quaylab.engines import PODMAN
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
ANSWERS = EngineReport(Engine("28.0.1", "/var/lib/docker", None))
NOTED_BEFORE = "owner quay.example.com lab 0.1.0"
BY_DOCKER, BY_PODMAN = f"{NOTED_BEFORE} docker", f"{NOTED_BEFORE} podman"
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
        # A first run by Podman that failed, beside a Docker that answers, or that doesn't.
        ({**RHEL_9, "docker": ANSWERS, "registry": NOTED_BEFORE}, "podman"),
        ({**RHEL_9, "docker": ANSWERS, "registry": BY_PODMAN}, "podman"),
        ({**RHEL_9, "docker": SILENT, "registry": BY_PODMAN}, "podman"),
        ({**RHEL_9, "docker": SILENT, "registry": BY_DOCKER}, "docker"),
        ({**RHEL_9, "docker": SILENT, "registry": "another form"}, "docker"),
        # Docker's package was removed, and its volumes may be there.
        ({**RHEL_9, "registry": BY_DOCKER}, "docker"),
        ({**RHEL_9, "registry": NOTED_BEFORE}, "podman"),
        # After `./lab down`, a host without volumes, whose engine is not its distribution's.
        ({"docker": ANSWERS, "registry": BY_PODMAN}, "podman"),
        ({**RHEL_9, "docker": ANSWERS, "registry": BY_DOCKER}, "docker"),
        ({"podman": CONTAINER, "registry": BY_DOCKER}, "podman"),
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
        "to docker, or move the data first: tasks/move_engine.py"
    )
    assert [*engine_choice.problems("quay", _machine(docker=VOLUME).using("docker"))] == []


def test_both_engines_at_once_are_refused() -> None:
    found = _machine(docker=CONTAINER, podman=VOLUME)
    found = found.using(engine_choice.choose(found, settings()).name)
    (problem,) = engine_choice.problems("quay", found)
    assert "quaylab-database in Podman, and this run uses Docker" in problem


MOVED = "podman 2026-11-27T09:30:00+00:00"


@pytest.mark.parametrize("engine_note", ["docker", "podman", MOVED])
def test_the_note_of_a_move_decides_whose_data_counts(engine_note: str) -> None:
    found = _machine(docker=VOLUME, podman=VOLUME, engine_note=engine_note)
    name = engine_note.split()[0]
    assert engine_choice.choose(found, settings()).name == name
    assert [*engine_choice.problems("quay", found.using(name))] == []
    (other,) = {"docker", "podman"} - {name}
    (problem,) = engine_choice.problems("quay", found.using(other))
    assert f"the data of quay is in {name.title()} (/var/lib/quaylab/engine there)" in problem
    assert problem.endswith(f"set it to {name}, or move the data: tasks/move_engine.py")


def test_the_noted_engine_is_believed_while_it_does_not_answer() -> None:
    found = _machine(docker=SILENT, engine_note="docker").using("podman")
    (problem,) = engine_choice.problems("quay", found)
    assert "the data of quay is in Docker" in problem


@pytest.mark.parametrize("text", [None, "", "rkt 2026"])
def test_a_note_that_names_no_engine_is_none(text: str | None) -> None:
    assert engine_choice.read_note(_machine(engine_note=text)) is None


@pytest.mark.parametrize("since", ["", "2026-11-27T09:30:00+00:00"])
def test_what_is_noted_is_read_back(since: str) -> None:
    written = engine_choice.note(PODMAN, since).content
    assert engine_choice.read_note(_machine(engine_note=written)) == (PODMAN, since)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "podman"),
        ({"docker": VOLUME}, "docker"),
        ({"podman": VOLUME}, "podman"),
        ({"docker": VOLUME, "podman": VOLUME, "engine_note": MOVED}, "podman"),
        ({"docker": VOLUME, "podman": VOLUME, "engine_note": "docker"}, "docker"),
        ({"docker": SILENT, "registry": "owner quay.example.com lab"}, "docker"),
        ({"docker": SILENT, "registry": BY_DOCKER}, "docker"),
        ({"docker": SILENT, "registry": BY_PODMAN}, "podman"),
        ({"docker": ANSWERS, "registry": BY_DOCKER}, "docker"),
        ({"docker": SILENT}, "podman"),
    ],
)
def test_where_a_move_to_podman_finds_the_data(changes: dict[str, Any], name: str) -> None:
    found = engine_choice.source(_machine(**changes), settings(container_engine="podman"))
    assert found.name == name


MOVES: dict[str, tuple[dict[str, Any], str | None]] = {
    "from Docker": ({"docker": VOLUME}, None),
    "of a copy that was not completed": (
        {"docker": VOLUME, "podman": VOLUME, "engine_note": "docker"},
        None,
    ),
    "done": ({"docker": VOLUME, "podman": VOLUME, "engine_note": MOVED}, None),
    "of both": (
        {"docker": VOLUME, "podman": VOLUME},
        "Podman of quay has quaylab-database, and so has Docker, and no note says which",
    ),
    "over what was kept": (
        {"docker": VOLUME, "podman": VOLUME, "engine_note": "docker 2026-11-27"},
        "from before the move of 2026-11-27, and nothing is overwritten; remove it: "
        "tasks/purge_engine.py --data purge_engine=podman",
    ),
    "from a Docker that is down": (
        {"docker": SILENT, "registry": "owner quay.example.com lab"},
        "its Docker does not answer, so nothing can be moved",
    ),
    "from a Docker that was removed": (
        {"registry": BY_DOCKER},
        "its Docker is not installed, so nothing can be moved; install it",
    ),
    "to a Podman that is too old": (
        {"docker": VOLUME, "podman": EngineReport(Engine("4.3.1", None, "too old"))},
        "quay: its `podman` is too old",
    ),
    "without systemd": ({"docker": VOLUME, "systemd": False}, "quay runs no systemd"),
    "on RHEL 7": (
        {"docker": VOLUME, "os_id": "rhel", "os_version": "7.9"},
        "quay runs RHEL 7, which has no Podman 4.9; set it to docker",
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_moves_to_podman(case: str) -> None:
    changes, expected = MOVES[case]
    wanted, found = settings(container_engine="podman"), _machine(**changes)
    found = found.using(engine_choice.source(found, wanted).name)
    problems = [*engine_choice.move_problems("quay", found, wanted)]
    assert len(problems) == (expected is not None)
    assert (expected or "") in "".join(problems)


def test_a_move_needs_the_setting() -> None:
    (problem,) = engine_choice.move_problems("quay", _machine(docker=VOLUME), settings())
    assert problem == (
        "container_engine: not set; set it to the engine to move to: docker or podman"
    )


@pytest.mark.parametrize(("chosen", "other"), [("docker", "podman"), ("podman", "docker")])
def test_data_may_be_in_an_engine_that_does_not_answer(chosen: str, other: str) -> None:
    """Else a second registry would be made beside it."""
    serving: dict[str, Any] = {other: SILENT, "registry": "owner quay.example.com lab"}
    (problem,) = engine_choice.problems("quay", _machine(**serving).using(chosen))
    assert problem.endswith("which may have its data, does not answer; start it")
    by_chosen = f"{NOTED_BEFORE} {chosen}"
    for harmless in (
        {chosen: CONTAINER},
        {"registry": None},
        {"registry": by_chosen},
        {other: SHIM},
    ):
        found = _machine(**{**serving, **harmless}).using(chosen)
        assert [*engine_choice.problems("quay", found)] == []


def test_data_may_be_of_an_engine_that_was_removed() -> None:
    (problem,) = engine_choice.problems("quay", _machine(registry=BY_DOCKER).using("podman"))
    assert problem.endswith(
        "and Docker, which may have its data, is not installed; install it again, or, if it held "
        "nothing of the registry, remove /var/lib/quaylab/registry there"
    )
    harmless: list[dict[str, Any]] = [
        {"podman": CONTAINER, "registry": BY_DOCKER},
        {"registry": BY_PODMAN},
        {"registry": NOTED_BEFORE},
    ]
    for changes in harmless:
        found = _machine(**changes).using("podman")
        assert [*engine_choice.problems("quay", found)] == []


@pytest.mark.parametrize(
    ("docker", "state"),
    [
        (SILENT, "does not answer; start it"),
        (
            EngineReport(),
            "is not installed; install it again, or remove its volumes below /var/lib/docker by "
            "hand, and then that note",
        ),
        # podman-docker in the place of the package.
        (SHIM, "is not installed; install it again, or remove its volumes below /var/lib/docker"),
    ],
)
def test_a_purge_sees_what_the_engine_before_a_move_has_kept(
    docker: EngineReport, state: str
) -> None:
    moved = _machine(docker=docker, podman=VOLUME, engine_note=MOVED).using("podman")
    (problem,) = engine_choice.purge_problems("quay", moved)
    assert problem.startswith(
        "quay: /var/lib/quaylab/engine there notes a move of the data, and Docker, whose volumes "
        f"would stay, {state}"
    )


def test_a_purge_needs_no_other_engine_where_nothing_was_moved() -> None:
    for found in (
        _machine(podman=VOLUME).using("podman"),
        _machine(docker=ANSWERS, podman=VOLUME, engine_note=MOVED).using("podman"),
    ):
        assert [*engine_choice.purge_problems("quay", found)] == []


def test_things_of_others_in_another_engine_are_no_problem() -> None:
    assert [*engine_choice.problems("quay", _machine(podman=FOREIGN).using("docker"))] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"systemd": False}, "runs no systemd, which starts"),
        ({"os_id": "ubuntu", "os_version": "22.04"}, "runs ubuntu 22.04, whose Podman is older"),
        ({"os_version": "12"}, "runs debian 12, whose Podman is older than 4.9; set it to docker"),
        ({"cgroup_v2": False}, "is on cgroup v1, with which Quadlet makes no services; set it to"),
    ],
)
def test_a_host_that_can_not_use_podman(changes: dict[str, Any], reason: str) -> None:
    """Also before it has one: nothing is installed in vain."""
    (problem,) = engine_choice.problems("quay", _machine(**changes).using("podman"))
    assert problem.startswith(f"container_engine: quay {reason}")


def test_debian_testing_has_no_version_and_a_new_podman() -> None:
    assert [*engine_choice.problems("quay", _machine(os_version="").using("podman"))] == []


def test_a_newer_podman_from_elsewhere() -> None:
    podman = EngineReport(Engine("5.4.2", "/var/lib/containers/storage", None))
    found = _machine(podman=podman, os_version="12").using("podman")
    assert [*engine_choice.problems("quay", found)] == []
