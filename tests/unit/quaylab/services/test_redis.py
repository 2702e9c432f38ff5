"""Redis: its image and its container."""

from __future__ import annotations

from typing import Any

import pytest

from quaylab import topology
from quaylab.services import BY_NAME, redis
from quaylab.services.base import Audience
from tests.unit import clustered
from tests.unit.clustered import HOSTS, TWO
from tests.unit.samples import settings, workload


def test_image() -> None:
    assert redis.image(settings()).reference == "quay.io/sclorg/redis-7-c9s:c9s"


def test_it_has_a_password_and_no_data() -> None:
    found = workload("redis")
    assert found.files[0].content == "REDIS_PASSWORD=redis-password\n"
    assert found.volume is None


def test_it_listens_on_the_configured_address() -> None:
    found = workload("redis", redis_listen="0.0.0.0", redis_port=6380)
    assert [str(port) for port in found.container.ports] == ["0.0.0.0:6380:6379"]


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        ({}, "ec5d4053c55a5ea88333ded67c2e8c22bdab27725f10201bd625e193ccf2ef2c"),
        (
            {"redis_port": 6380},
            "551d29ea1ff0b6079146e91c539e1b6bd6d75c40b5c520da1837686636b134e1",
        ),
    ],
    ids=str,
)
def test_a_single_redis_is_what_it_was_before_there_were_several(
    changes: dict[str, Any], digest: str
) -> None:
    """Another digest would replace the containers of all registries."""
    image = "quay.io/sclorg/redis-7-c9s:c9s"
    assert workload("redis", redis_image=image, **changes).container.digest == digest


# --- several hosts ---


def _placement(number: int, **changes: Any) -> list[str]:
    groups = topology.groups(clustered.inventory(number))
    return list(BY_NAME["redis"].placement_problems(settings(**changes), groups))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_no_majority_is_needed(number: int) -> None:
    assert _placement(number) == []


@pytest.mark.parametrize(
    ("number", "changes", "message"),
    [
        (6, {}, "redis: 6 hosts in group `redis`, and more than 5 gain nothing; keep 3"),
        (
            2,
            {"redis_listen": "192.168.254.51"},
            "redis_listen: 192.168.254.51, but each of 2 hosts listens at an address of its own; "
            "leave it out",
        ),
        (
            3,
            {"redis_host": "redis.example.com"},
            "redis_host: redis.example.com runs elsewhere, but group `redis` has one.example.com: "
            "drop one of the two",
        ),
    ],
    ids=["six", "listen", "elsewhere"],
)
def test_several_hosts_that_are_refused(number: int, changes: dict[str, Any], message: str) -> None:
    assert _placement(number, **changes) == [message]


def test_each_host_has_the_same_password_and_its_own_address() -> None:
    run = clustered.run(redis_port=6380)
    found = [clustered.workload("redis", run, name) for name in HOSTS[:3]]
    assert len({each.files for each in found}) == 1
    assert [str(port) for each in found for port in each.container.ports] == [
        "192.168.254.51:6380:6379",
        "192.168.254.52:6380:6379",
        "192.168.254.53:6380:6379",
    ]


def test_quay_reaches_it_by_the_routers() -> None:
    (port,) = BY_NAME["redis"].ports(clustered.run(), TWO)
    assert (port.audience, port.setting, port.address_setting) == (
        Audience.QUAY,
        "redis_port",
        "address",
    )
