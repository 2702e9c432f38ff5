"""The router to the database's leader and to the Redis that serves."""

from __future__ import annotations

import re
from typing import Any

from quaylab.services import router_config
from quaylab.services.patroni_config import Ports

DATABASE = {"db0": "192.168.254.20", "db1": "fd00::21"}
REDIS = {"redis0": "192.168.254.30", "redis1": "192.168.254.31", "redis2": "192.168.254.32"}


def _render(database: dict[str, str], redis: dict[str, str], **more: Any) -> str:
    return router_config.render(database, redis, verified_name="quaylab-router", **more)


def _section(text: str, name: str) -> list[str]:
    """Return the lines of a section."""
    found = re.search(rf"^listen {name}\n((?:    .*\n)+)", text, re.MULTILINE)
    assert found
    return [line.strip() for line in found[1].splitlines()]


def test_the_leader_is_followed_over_tls() -> None:
    text = _render(DATABASE, {}, ports=Ports(database=5433, api=8009))
    lines = _section(text, "database")
    assert "option httpchk OPTIONS /primary" in lines
    assert lines[-2:] == [
        "server db0 192.168.254.20:5433",
        "server db1 [fd00::21]:5433",
    ]
    (default,) = [line for line in lines if line.startswith("default-server ")]
    assert " ca-file /etc/quaylab/ca.pem verifyhost quaylab-router port 8009 " in default
    assert default.endswith(" on-marked-down shutdown-sessions")


def test_the_first_redis_serves_and_the_others_are_its_backups() -> None:
    lines = _section(_render({}, REDIS, redis_port=6380), "redis")
    assert lines[-3:] == [
        "server redis0 192.168.254.30:6380 on-marked-up shutdown-backup-sessions",
        "server redis1 192.168.254.31:6380 backup",
        "server redis2 192.168.254.32:6380 backup",
    ]


def test_a_service_without_members_has_no_port() -> None:
    assert "listen redis" not in _render(DATABASE, {})
    assert "listen database" not in _render({}, REDIS)


def test_a_refusal_is_a_sign_of_life() -> None:
    lines = _section(_render({}, REDIS), "redis")
    assert "tcp-check send PING\\r\\n" in lines
    assert "tcp-check expect rstring ^(\\+PONG|-NOAUTH)" in lines
