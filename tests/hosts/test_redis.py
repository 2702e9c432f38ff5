"""Redis answers Quay, and nobody without the password."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from quaylab import probes
from quaylab.probes import Unreachable
from tests.hosts.lab import Lab, Target


def test_answers_quays_password(
    quay_host: Target, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    """At the very address that Quay has, as its host reaches it."""
    service = lab.plan.topology.redis
    with quay_host.through(service.probe_address, service.probe_port) as (address, port):
        answer = probes.redis_server(lab.plan.credentials, address, port)
    record_property(
        f"Redis from {quay_host.name}", f"{answer.version}, {answer.milliseconds:.1f} ms"
    )


def test_refuses_a_wrong_password(quay_host: Target, lab: Lab) -> None:
    service = lab.plan.topology.redis
    wrong = lab.plan.credentials.model_copy(update={"redis_password": SecretStr("not-this-one")})
    with (
        quay_host.through(service.probe_address, service.probe_port) as (address, port),
        pytest.raises(Unreachable, match=r"invalid.*password|WRONGPASS"),
    ):
        probes.redis_server(wrong, address, port)


def test_refuses_whoever_has_no_password(quay_host: Target, lab: Lab) -> None:
    service = lab.plan.topology.redis
    with quay_host.through(service.probe_address, service.probe_port) as (address, port):
        client = redis.Redis(
            host=address, port=port, socket_timeout=probes.TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        with pytest.raises(redis.AuthenticationError):
            client.ping()
        client.close()
