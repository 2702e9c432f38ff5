"""The database: what Quay needs of it, and whom it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from facts.database import Database, DatabaseState
from quaylab.clients import probes
from quaylab.clients.probes import Unreachable
from quaylab.model import container_name
from tests.hosts.lab import Lab, Target


def test_answers_quays_credentials(
    quay_host: Target, lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    """At the same address that Quay uses, as its host reaches it."""
    plan, service = lab.plan, lab.plan.topology.database
    with quay_host.through(service.probe_address, service.probe_port) as (address, port):
        answer = probes.database(plan.settings, plan.credentials, address, port)
    record_property(
        f"database from {quay_host.name}",
        f"{answer.server}, {answer.milliseconds:.1f} ms",
    )


def test_refuses_a_wrong_password(quay_host: Target, lab: Lab) -> None:
    plan, service = lab.plan, lab.plan.topology.database
    wrong = plan.credentials.model_copy(update={"database_password": SecretStr("not-this-one")})
    with (
        quay_host.through(service.probe_address, service.probe_port) as (address, port),
        pytest.raises(Unreachable, match=r"password authentication failed|Access denied"),
    ):
        probes.database(plan.settings, wrong, address, port)


def test_has_trigrams(postgresql_host: Target, lab: Lab) -> None:
    """Quay's search needs pg_trgm in its own database."""
    assert _state(postgresql_host, lab).extensions["pg_trgm"]


def test_quays_role_is_no_superuser(postgresql_host: Target, lab: Lab) -> None:
    assert _state(postgresql_host, lab).role_superuser is False


def test_is_latin1(mysql_host: Target, lab: Lab) -> None:
    """Quay's widest column doesn't fit into a row of utf8mb4."""
    assert _state(mysql_host, lab).character_set == "latin1"


def _state(target: Target, lab: Lab) -> DatabaseState:
    settings = lab.plan.settings
    state: DatabaseState | None = target.ask(
        Database(),
        container=container_name("database"),
        engine=settings.database_engine,
        database=settings.database_name,
        user=settings.database_user,
    )
    assert state is not None, "the database does not answer its administrator"
    return state
