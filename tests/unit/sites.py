"""What the sites of unit tests have in common."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Generic, TypeVar

import pytest

from operations.runtime import waiting
from quaylab.plan import Plan
from tests.unit.fake_host import FakeHost

H = TypeVar("H", bound=FakeHost)


class BaseSite(Generic[H]):
    """The hosts of a plan. Time passes only by ``sleep``: ``slept`` are the seconds."""

    plan: Plan
    hosts: dict[str, H]
    slept = 0.0

    def leave_out(self, name: str) -> None:
        """Have a host take no part in the run."""
        machines = {each: found for each, found in self.plan.machines.items() if each != name}
        self.plan = dataclasses.replace(self.plan, machines=machines)

    @property
    def complaint(self) -> str:
        """The only message that the hosts have logged."""
        (found,) = (line for host in self.hosts.values() for line in host.messages)
        return found

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def set_clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have what waits go by this site's time."""
        clock = SimpleNamespace(monotonic=lambda: self.slept, sleep=self.sleep)
        monkeypatch.setattr(waiting, "time", clock)
