"""The last word of a run."""

from __future__ import annotations

from typing import Any

import pytest

from operations import summary
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost
from tests.unit.operations.conftest import Site
from tests.unit.samples import SECRETS


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a run says at its end, in one line."""
    monkeypatch.setenv("COLUMNS", "300")

    def tell(host: FakeHost, lab: Plan, executing: bool = True) -> str:
        host.executing = executing
        assert host.operate(summary.printed, plan=lab) == []
        printed = capsys.readouterr()
        assert printed.out == ""  # where --json is
        return " ".join(printed.err.replace("│", " ").split())

    return tell


def test_summary_of_a_registry(site: Site, told: Any) -> None:
    lab = site.lab()
    said = told(site.host(), lab)
    for part in (
        f"Address https://quay.example.com:{site.quay.server_port}",
        f"quayadmin, password in {lab.store.path}",
        f"docker login -u quayadmin {lab.topology.registry}",
        f"/etc/docker/certs.d/{lab.topology.registry}/ca.crt",
        "Version v3.18.0",
        "Health postgresql 15.4, Redis 7.2.4, auth, database healthy",
        "Verified login, push, pull and delete",
    ):
        assert part in said
    assert not [secret for secret in SECRETS if secret in said]
    assert "stand-in" not in said


def test_nothing_is_printed_while_planning(site: Site, told: Any) -> None:
    assert told(site.host(), site.lab(), executing=False) == ""


def test_bad_health_is_told(site: Site, told: Any) -> None:
    services = {"data": {"services": {"storage": False}}}
    site.quay.force("GET /health/endtoend", 503, services)
    assert "failing: storage" in told(site.host(), site.lab())


def test_stand_in_is_called_one(site: Site, told: Any) -> None:
    said = told(site.host(), site.lab(image_source="packages"))
    assert "Quay stand-in: not Quay" in said
    assert "a stand-in of Quaylab's own answers in its place" in said


@pytest.mark.parametrize(("version", "why"), [(None, True), ("v3.16.5", False)])
def test_older_version_for_mysql_is_explained(
    site: Site, told: Any, version: str | None, why: bool
) -> None:
    said = told(
        site.host(), site.lab(database_engine="mysql", database_port=1, quay_version=version)
    )
    assert ("migrations work on PostgreSQL only" in said) is why


def test_legacy_quay_tells_what_to_type_in(site: Site, told: Any) -> None:
    said = told(site.host(), site.lab(quay_version="v2.9.1", quay_http_port=8080))
    for part in (
        "Set-up is not done",
        "http://quay.example.com:8080/setup",
        "quaylab-database:5432",
        "quaylab-redis:6379",
    ):
        assert part in said
    assert not [secret for secret in SECRETS if secret in said]
