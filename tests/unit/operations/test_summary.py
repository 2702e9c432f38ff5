"""The summary at the end of a run."""

from __future__ import annotations

from typing import Any

import pytest

from operations import summary
from quaylab.plan import Plan
from tests.leaks import leaked
from tests.unit.fake_host import FakeHost
from tests.unit.operations.conftest import Site
from tests.unit.samples import SECRETS


@pytest.fixture
def print_summary(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that returns a run's summary in one line."""
    monkeypatch.setenv("COLUMNS", "300")

    def summarize(host: FakeHost, lab: Plan, executing: bool = True) -> str:
        host.executing = executing
        assert host.operate(summary.printed, plan=lab) == []
        printed = capsys.readouterr()
        assert printed.out == ""  # stdout is for --json
        return " ".join(printed.err.replace("│", " ").split())

    return summarize


def test_summary_of_a_registry(site: Site, print_summary: Any) -> None:
    lab = site.lab()
    output = print_summary(site.host(), lab)
    for part in (
        f"Address https://quay.example.com:{site.quay.server_port}",
        f"quayadmin, password in {lab.store.path}",
        f"docker login -u quayadmin {lab.topology.registry}",
        f"/etc/docker/certs.d/{lab.topology.registry}/ca.crt",
        "Version v3.18.0",
        "Health PostgreSQL 15.4, Redis 7.2.4, auth, database healthy",
        "Verified login, push, pull and delete",
    ):
        assert part in output
    assert leaked(SECRETS, output) == []
    assert "stand-in" not in output


def test_nothing_is_printed_while_planning(site: Site, print_summary: Any) -> None:
    assert print_summary(site.host(), site.lab(), executing=False) == ""


def test_bad_health_is_print_summary(site: Site, print_summary: Any) -> None:
    services = {"data": {"services": {"storage": False}}}
    site.quay.force("GET /health/endtoend", 503, services)
    assert "failing: storage" in print_summary(site.host(), site.lab())


def test_a_stand_in_is_called_a_stand_in(site: Site, print_summary: Any) -> None:
    output = print_summary(site.host(), site.lab(image_source="packages"))
    assert "Quay stand-in: not Quay" in output
    assert "a stand-in of Quaylab's own answers in its place" in output


@pytest.mark.parametrize(("version", "explained"), [(None, True), ("v3.16.5", False)])
def test_older_version_for_mysql_is_explained(
    site: Site, print_summary: Any, version: str | None, explained: bool
) -> None:
    output = print_summary(
        site.host(), site.lab(database_engine="mysql", database_port=1, quay_version=version)
    )
    assert ("migrations work on PostgreSQL only" in output) is explained


def test_legacy_quay_shows_what_to_enter(site: Site, print_summary: Any) -> None:
    output = print_summary(site.host(), site.lab(quay_version="v2.9.1", quay_http_port=8080))
    for part in (
        "Set-up is not done",
        "http://quay.example.com:8080/setup",
        "quaylab-database:5432",
        "quaylab-redis:6379",
    ):
        assert part in output
    assert leaked(SECRETS, output) == []
