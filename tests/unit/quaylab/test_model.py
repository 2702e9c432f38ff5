"""What a host should have: a container's digest, which decides on replacement, and files."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from quaylab.model import (
    COUNTED_IF_SET,
    NOT_IN_THE_DIGEST,
    Container,
    FileState,
    ManagedFile,
    Mount,
    PublishedPort,
    Volume,
    digests,
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
    "host_network": True,
    "capabilities": ("NET_ADMIN",),
    "user": "root",
}


def test_digest_is_the_same_in_every_process() -> None:
    script = f"from quaylab.model import *; print({CONTAINER!r}.digest)"
    found = {
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
    assert found == {CONTAINER.digest}


def test_equal_containers_have_equal_digests() -> None:
    assert dataclasses.replace(CONTAINER).digest == CONTAINER.digest


def test_table_has_every_field() -> None:
    fields = {field.name for field in dataclasses.fields(Container)}
    assert set(OTHERS) == fields - NOT_IN_THE_DIGEST
    assert set(OTHERS) >= COUNTED_IF_SET


def test_fields_outside_the_digest_and_a_known_digest() -> None:
    other = dataclasses.replace(CONTAINER, owner="another", health_interval=11)
    assert other.digest == CONTAINER.digest
    before = "5baf7583f01c9d583cb452e7fa98bb64643fd7cc0cf004dfb69af634b0c87d48"
    assert CONTAINER.digest == before


@pytest.mark.parametrize("field", OTHERS)
def test_digest_changes_with(field: str) -> None:
    assert dataclasses.replace(CONTAINER, **{field: OTHERS[field]}).digest != CONTAINER.digest


def test_ipv6_address_is_bracketed() -> None:
    assert str(PublishedPort(6379, 6380, "fd00::6")) == "[fd00::6]:6380:6379"


# --- volumes ---


@pytest.mark.parametrize(
    ("path", "device"), [(None, None), ("/srv/disk", "/srv/disk/quaylab-database")]
)
def test_a_volume_is_a_subdirectory_of_its_directory(path: str | None, device: str | None) -> None:
    """The directory may be a mount point, and would be empty without its disk."""
    volume = Volume("database", "quaylab-database", path, 26, {}, "database_data", "the database")
    assert volume.device == device


# --- files ---

WANTED = ManagedFile("/etc/quaylab/quay/config.yaml", "secret", uid=1001, gid=0, mode=0o600)


@pytest.mark.parametrize(
    ("state", "difference"),
    [
        (FileState(1001, 0, 0o600, WANTED.sha256), None),
        (FileState(1001, 0, 0o600, "0" * 64), "content"),
        (FileState(0, 0, 0o600, WANTED.sha256), "owner 0:0"),
        (FileState(1001, 1001, 0o600, WANTED.sha256), "owner 1001:1001"),
        (FileState(1001, 0, 0o644, WANTED.sha256), "mode 0644"),
    ],
    ids=["nothing", "content", "owner", "group", "mode"],
)
def test_difference(state: FileState, difference: str | None) -> None:
    assert state.differs(WANTED) == difference


def test_content_is_never_shown() -> None:
    assert "secret" not in repr(WANTED)


def test_a_container_has_digests_of_its_files() -> None:
    assert digests(WANTED) == ((WANTED.path, WANTED.sha256),)
    assert "secret" not in repr(dataclasses.replace(CONTAINER, files=digests(WANTED)))
