"""A container's unit, compared word by word with `docker run` and read back as systemd would."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex

import pytest

from quaylab.engines import DOCKER, units
from quaylab.model import DIGEST_LABEL, Mount
from tests.unit.quaylab.test_model import CONTAINER

ODD = ("it's", "a  b", "$HOME", "`id`", "100 %h", 'say "yes"', "back\\slash", "two\nlines", "")


def _values(text: str, key: str) -> list[str]:
    lines = (line.partition("=") for line in text.splitlines())
    return [value for name, _, value in lines if name == key]


def _read(value: str) -> list[str]:
    """Read a value's words as Quadlet, then systemd do: quotes and backslashes, then % and $."""
    words = shlex.split(value.replace("\\n", "\n"), posix=True)
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


def test_a_unit() -> None:
    text, _, checksum = units.unit(CONTAINER).partition(units.CHECKSUM)
    assert checksum == f"{hashlib.sha256(text.encode()).hexdigest()}\n"
    assert (
        text
        == f"""\
# Quaylab writes this file in each run.
[Unit]
Description=quaylab-redis
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Container]
ContainerName=quaylab-redis
Image=quay.io/sclorg/redis-7-c9s:c9s
Pull=never
Network=quaylab
Label="io.quaylab.specification={CONTAINER.digest}"
Label="io.quaylab.version=c9s"
Label="io.quaylab.credentials=0123456789abcdef-01234567"
PublishPort=127.0.0.1:6380:6379
Volume=/etc/quaylab/redis:/etc/quaylab:ro,z
Volume=data:/data
Environment="WORKER_COUNT=2"
PodmanArgs="--stop-timeout=30" "--log-driver=journald" "--http-proxy=false" \
"--health-cmd=redis-cli ping" "--health-interval=10s"
Exec={units.words(CONTAINER.command)}

[Service]
Restart=always
RestartSec=2
TimeoutStartSec=300
TimeoutStopSec=60

[Install]
WantedBy=multi-user.target
"""
    )


def test_everything_that_docker_gets_is_in_the_unit() -> None:
    """A field of a specification that Docker's arguments have, and the unit lacks, is a defect."""
    wanted = dataclasses.replace(
        CONTAINER,
        privileged=True,
        user="1001",
        capabilities=("NET_ADMIN",),
        devices=("/dev/a",),
        environment=(("A", "1"), ("B", "2")),
    )
    text = units.unit(wanted)
    keys = {
        "name": "ContainerName",
        "network": "Network",
        "label": "Label",
        "user": "User",
        "cap-add": "AddCapability",
        "device": "AddDevice",
        "publish": "PublishPort",
        "env": "Environment",
    }
    arguments = _read(_values(text, "PodmanArgs")[0])
    other = {"detach", "restart", "volume", "log-driver", "log-opt"}
    for argument in DOCKER.run_arguments(wanted):
        name, _, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name in other:
            continue
        if name in keys:
            assert value in [word for each in _values(text, keys[name]) for word in _read(each)]
        else:
            assert argument in arguments


def test_values_are_one_word_each_and_unchanged() -> None:
    wanted = dataclasses.replace(
        CONTAINER, command=ODD, environment=(("ODD", 'a"b %h'),), health='test "$A" = "1"'
    )
    text = units.unit(wanted)
    assert _read(_values(text, "Exec")[0]) == [*ODD]
    assert _read(_values(text, "Environment")[0]) == ['ODD=a"b %h']
    assert '--health-cmd=test "$A" = "1"' in _read(_values(text, "PodmanArgs")[0])


def test_the_hosts_network() -> None:
    text = units.unit(dataclasses.replace(CONTAINER, host_network=True, ports=()))
    assert _values(text, "Network") == ["host"]


def test_without_command_and_health_check() -> None:
    text = units.unit(dataclasses.replace(CONTAINER, command=(), health=""))
    assert _values(text, "Exec") == []
    assert "--health" not in text


def test_the_digest_is_that_of_the_specification() -> None:
    assert f'Label="{DIGEST_LABEL}={CONTAINER.digest}"' in units.unit(CONTAINER)


@pytest.mark.parametrize(
    ("mount", "bound"),
    [
        (Mount("/etc/quaylab/redis", "/etc/quaylab", read_only=True), ":ro,z"),
        (Mount("/var/lib/quaylab/copied-blobs", "/copied-blobs"), ":z"),
        (Mount("quaylab-database", "/var/lib/pgsql/data"), ""),
        (Mount("quaylab-quay-storage", "/datastorage", read_only=True), ":ro"),
        (Mount("/srv/ceph/osd0", "/srv/ceph/osd0"), ":z"),
    ],
)
def test_volumes_are_not_labelled_at_each_start(mount: Mount, bound: str) -> None:
    assert units.bind(mount) == f"{mount.source}:{mount.target}{bound}"
