"""Quay in its container: the node's own view of its health, and its version."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pyinfra.api import StringCommand
from pyinfra.api.facts import FactBase

from facts.engines import host_engine
from quaylab.model import VERSION_LABEL
from quaylab.services.quay import HEALTH_URL


@dataclass(frozen=True)
class QuayState:
    """A node's version, and the health of the services that ``/health/instance`` checks, which are
    none if it does not answer."""

    version: str
    services: dict[str, bool]

    @property
    def healthy(self) -> bool:
        return bool(self.services) and all(self.services.values())


class Quay(FactBase[QuayState | None]):
    """A Quay node's health and version; None if there is no such container."""

    def command(self, container: str) -> StringCommand:
        command = f"curl --silent --insecure {HEALTH_URL}"
        return StringCommand(
            host_engine().label(container, VERSION_LABEL), "2>/dev/null &&",
            host_engine().output_of(container, command),
        )  # fmt: skip

    @staticmethod
    def default() -> QuayState | None:
        return None

    def process(self, output: list[str]) -> QuayState | None:
        version, *answer = output
        if not version:
            return None
        try:
            services = json.loads("".join(answer))["data"]["services"]
        except (ValueError, LookupError, TypeError):
            # Its nginx has a page of its own for when Quay is starting, or has died behind it.
            services = {}
        return QuayState(version, services)
