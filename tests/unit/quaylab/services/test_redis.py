"""Redis: its image and its container."""

from __future__ import annotations

from quaylab.services import redis
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
