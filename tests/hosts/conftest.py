"""Which hosts a test runs on: its argument names a place, and it runs once for each host there.

A test without a host (MySQL, where PostgreSQL runs) is deselected: it neither passes nor hides
among the skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quaylab.clients.registry import Registry
from tests.hosts.lab import LAB, Lab
from tests.hosts.places import PLACES, RegistryPlace

NOWHERE = object()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    lab = metafunc.config.stash[LAB]
    for argument in metafunc.fixturenames:
        if argument in PLACES:
            places = PLACES[argument](lab) or [NOWHERE]
            metafunc.parametrize(argument, places, ids=repr)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    idle = [item for item in items if _has_no_place(item)]
    items[:] = [item for item in items if not _has_no_place(item)]
    config.hook.pytest_deselected(items=idle)


def _has_no_place(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)  # a test without parameters has none
    return call is not None and NOWHERE in call.params.values()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured: versions and latencies."""
    measured = [
        f"{name}: {value}"
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        for name, value in report.user_properties
    ]
    if measured:
        terminalreporter.section("measured")
    for line in measured:
        terminalreporter.line(line)


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Lab:
    """The hosts under test, and the plan that they must fulfil."""
    return request.config.stash[LAB]


@pytest.fixture
def registry(registry_place: RegistryPlace, lab: Lab) -> Iterator[Registry]:
    """A client of the registry at one of Quay's nodes, or at a balancer."""
    place = registry_place
    with lab.registry(place.target, place.address, place.port, place.certificate.trusted) as client:
        yield client
