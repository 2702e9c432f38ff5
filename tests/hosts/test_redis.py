"""Redis answers Quay, and nobody without the password."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from quaylab.clients import probes
from quaylab.clients.probes import Unreachable
from tests.hosts.lab import Lab, Target


def test_answers_quays_password(
    quay_host: Target, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    """At the same address that Quay uses, as its host reaches it."""
    service = lab.plan.topology.redis
    with quay_host.through(service.probe_address, service.probe_port) as (address, port):
        answer = probes.redis_server(lab.plan.settings, lab.plan.credentials, address, port)
    record_property(
        f"Redis from {quay_host.name}", f"{answer.server}, {answer.milliseconds:.1f} ms"
    )


def test_refuses_a_wrong_password(quay_host: Target, lab: Lab) -> None:
    service = lab.plan.topology.redis
    wrong = lab.plan.credentials.model_copy(update={"redis_password": SecretStr("not-this-one")})
    with (
        quay_host.through(service.probe_address, service.probe_port) as (address, port),
        pytest.raises(Unreachable, match=r"invalid.*password|WRONGPASS"),
    ):
        probes.redis_server(lab.plan.settings, wrong, address, port)


def test_refuses_whoever_has_no_password(quay_host: Target, lab: Lab) -> None:
    service = lab.plan.topology.redis
    without = lab.plan.credentials.model_copy(update={"redis_password": SecretStr("")})
    with (
        quay_host.through(service.probe_address, service.probe_port) as (address, port),
        pytest.raises(Unreachable, match="Authentication required"),
    ):
        probes.redis_server(lab.plan.settings, without, address, port)
