"""Which hosts a test runs on: it names a place, and runs once for each host that fills it.

A test whose place nobody fills (MySQL, where PostgreSQL runs) is deselected: it neither passes
nor hides among the skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quaylab.clients.registry import Registry
from tests.hosts.lab import LAB, Lab, Target
from tests.hosts.places import PLACES

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
    call = getattr(item, "callspec", None)  # which a test without parameters lacks
    return call is not None and NOWHERE in call.params.values()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have measured: versions and latencies."""
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
    """The plan that the hosts have to fulfil, and the way to them."""
    return request.config.stash[LAB]


@pytest.fixture
def registry(registry_host: Target, lab: Lab) -> Iterator[Registry]:
    """A client of the registry on one Quay host."""
    with lab.registry(registry_host) as client:
        yield client
