"""The state of an engine compared with what a host should have."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from quaylab.engines.state import NOTHING, WrittenFile
from quaylab.model import NETWORK
from tests.unit.quaylab.test_model import CONTAINER
from tests.unit.states import engine

(PATH, SHA256), *_ = CONTAINER.files


def test_a_container_that_runs_as_specified_needs_nothing() -> None:
    assert engine(CONTAINER).change(CONTAINER) is None


def test_a_missing_container_is_created() -> None:
    assert NOTHING.change(CONTAINER) == "replace"
    other = dataclasses.replace(CONTAINER, name="quaylab-database")
    assert engine(other).change(CONTAINER) == "replace"


@pytest.mark.parametrize(
    "found",
    [
        {"digest": "another"},
        {"digest": ""},
        {"image": "quay.io/sclorg/redis-7-c9s:other"},
        {"image_was_retagged": True},
        {"networks": {"bridge": "b"}},
        {"networks": {NETWORK: "one that was removed"}},
        {"ports": frozenset()},
        {"ports": frozenset({"127.0.0.1:6380:6379", "0.0.0.0:6380:6379"})},
        {"mounts": {}},
        {"mounts": {"/etc/quaylab": "/etc/quaylab/redis", "/data": "another"}},
        {"command": ("bash",)},
        {"environment": {}},
        {"environment": {"PATH": "/bin", "WORKER_COUNT": "3"}},
        {"environment": {"PATH": "/bin", "WORKER_COUNT": "2", "MORE": "1"}},
    ],
    ids=", ".join,
)
def test_a_container_that_differs_from_its_specification_is_replaced(found: dict[str, Any]) -> None:
    assert engine(CONTAINER, **found).change(CONTAINER) == "replace"
    # In any state.
    assert engine(CONTAINER, **found, state="exited").change(CONTAINER) == "replace"


@pytest.mark.parametrize(
    "found",
    [
        {"environment": {"WORKER_COUNT": "other"}, "image_environment": None},
        {"mounts": {**dict.fromkeys(["/more"], "x"), "/etc/quaylab": "/etc/quaylab/redis"}},
        {"health": "unhealthy"},
        {"health": None},
        {"version": "another"},
    ],
    ids=["the image is gone", "an anonymous volume", "unhealthy", "no check", "version"],
)
def test_differences_that_do_not_matter(found: dict[str, Any]) -> None:
    wanted = dataclasses.replace(CONTAINER, mounts=CONTAINER.mounts[:1])
    assert engine(wanted, **found).change(wanted) is None


def test_the_images_default_command_is_not_compared() -> None:
    wanted = dataclasses.replace(CONTAINER, command=())
    assert engine(wanted, command=("run-redis",)).change(wanted) is None


def test_a_container_on_the_hosts_network_need_not_be_on_ours() -> None:
    wanted = dataclasses.replace(CONTAINER, host_network=True, ports=())
    assert engine(wanted, networks={"host": "h"}).change(wanted) is None


@pytest.mark.parametrize(
    ("found", "change"),
    [
        ({"state": "exited"}, "start"),
        ({"state": "created", "networks": {NETWORK: ""}}, "start"),
        ({"state": "paused"}, "unpause"),
        ({"state": "restarting"}, "start"),
        ({"state": "exited", "restart_policy": "no"}, "start"),
        ({"restart_policy": "no"}, "update"),
        ({"cpu_shares": 64}, "update"),
        ({"cpu_shares": 1024}, None),
        ({"written": 2000.0}, "restart"),
        ({"written": 2000.0, "restart_policy": "no"}, "restart"),
        ({"written": 2000.0, "state": "exited"}, "start"),
        ({"written": 1000.0}, None),
    ],
    ids=str,
)
def test_one_thing_is_done_at_a_time(found: dict[str, Any], change: str | None) -> None:
    """The next run does the rest."""
    assert engine(CONTAINER, **found).change(CONTAINER) == change


@pytest.mark.parametrize(
    "files",
    [{}, {PATH: WrittenFile("b" * 64, 0)}, {PATH: WrittenFile(SHA256, 1000.1)}],
    ids=["gone", "of other content", "written since"],
)
def test_a_container_is_restarted_for_a_file_that_changed_since_its_start(
    files: dict[str, WrittenFile],
) -> None:
    found = dataclasses.replace(engine(CONTAINER), files=files)
    assert found.change(CONTAINER) == "restart"
    assert found.change(dataclasses.replace(CONTAINER, files=())) == "replace"
    without = dataclasses.replace(CONTAINER, files=())
    assert dataclasses.replace(engine(without), files=files).change(without) is None


def test_a_recreated_network_has_another_id() -> None:
    found = engine(CONTAINER)
    for networks in ({}, {NETWORK: "n2"}):
        assert dataclasses.replace(found, networks=networks).change(CONTAINER) == "replace"
