"""Containers: the digest that decides about a replacement, and the command line."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from quaylab.containers import (
    CREDENTIALS_LABEL,
    DIGEST_LABEL,
    NOT_IN_THE_DIGEST,
    VERSION_LABEL,
    Container,
    Mount,
    PublishedPort,
)
from tests.unit.samples import ROOT

CONTAINER = Container(
    name="quaylab-redis",
    image="quay.io/sclorg/redis-7-c9s:c9s",
    owner="0123456789abcdef-01234567",
    version="c9s",
    health="redis-cli ping",
    ports=(PublishedPort(6379, 6380, "127.0.0.1"),),
    mounts=(Mount("/etc/quaylab/redis", "/etc/quaylab", read_only=True), Mount("data", "/data")),
    files=(("/etc/quaylab/redis/environment", "a" * 64),),
    log_size="10m",
    log_files=3,
    command=("bash", "-c", "exec run-redis"),
    environment=(("WORKER_COUNT", "2"),),
)
OTHERS: dict[str, Any] = {
    "name": "quaylab-other",
    "image": "quay.io/sclorg/redis-7-c9s:other",
    "version": "other",
    "health": "true",
    "ports": (PublishedPort(6379, 6379, "127.0.0.1"),),
    "mounts": (Mount("/etc/quaylab/redis", "/etc/quaylab"), Mount("data", "/data")),
    "files": (("/etc/quaylab/redis/environment", "b" * 64),),
    "log_size": "20m",
    "log_files": 4,
    "command": ("bash", "-c exec run-redis"),
    "environment": (("WORKER_COUNT", "3"),),
    "stop_timeout": 31,
    "privileged": True,
    "devices": ("/dev/ceph/osd",),
}


def test_digest_is_the_same_in_every_process() -> None:
    script = f"from quaylab.containers import *; print({CONTAINER!r}.digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {CONTAINER.digest}


def test_equal_containers_have_equal_digests() -> None:
    assert dataclasses.replace(CONTAINER).digest == CONTAINER.digest


def test_table_has_every_field() -> None:
    fields = {field.name for field in dataclasses.fields(Container)}
    assert set(OTHERS) == fields - NOT_IN_THE_DIGEST


def test_digest_is_that_of_containers_from_before_they_had_these() -> None:
    other = dataclasses.replace(CONTAINER, owner="another", health_interval=11)
    assert other.digest == CONTAINER.digest
    before = "5baf7583f01c9d583cb452e7fa98bb64643fd7cc0cf004dfb69af634b0c87d48"
    assert CONTAINER.digest == before


@pytest.mark.parametrize("field", OTHERS)
def test_digest_changes_with(field: str) -> None:
    assert dataclasses.replace(CONTAINER, **{field: OTHERS[field]}).digest != CONTAINER.digest


@pytest.mark.parametrize(
    "argument",
    [
        "--detach",
        "--name=quaylab-redis",
        "--network=quaylab",
        "--restart=always",
        "--stop-timeout=30",
        f"--label={DIGEST_LABEL}={CONTAINER.digest}",
        f"--label={VERSION_LABEL}=c9s",
        f"--label={CREDENTIALS_LABEL}=0123456789abcdef-01234567",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=3",
        "--health-cmd=redis-cli ping",
        "--health-interval=10s",
        "--publish=127.0.0.1:6380:6379",
        "--volume=/etc/quaylab/redis:/etc/quaylab:ro,z",
        "--volume=data:/data:z",
        "--env=WORKER_COUNT=2",
    ],
)
def test_run_has_the_argument(argument: str) -> None:
    assert argument in CONTAINER.run_arguments()


def test_command_comes_after_the_image() -> None:
    assert CONTAINER.run_arguments()[-4:] == [CONTAINER.image, *CONTAINER.command]


def test_privileged_is_said_only_where_it_is_asked_for() -> None:
    assert "--privileged" not in CONTAINER.run_arguments()
    assert "--privileged" in dataclasses.replace(CONTAINER, privileged=True).run_arguments()


def test_no_health_check_is_no_argument() -> None:
    arguments = dataclasses.replace(CONTAINER, health="").run_arguments()
    assert not [argument for argument in arguments if argument.startswith("--health")]


def test_ipv6_address_is_bracketed() -> None:
    assert str(PublishedPort(6379, 6380, "fd00::6")) == "[fd00::6]:6380:6379"
