"""Fixtures of the Ceph tier: the machine tier's, on machines of this session's own."""

from __future__ import annotations

from tests.machine.conftest import images, machine_factory, operator

__all__ = ["images", "machine_factory", "operator"]
