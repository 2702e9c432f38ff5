"""Fixtures of the Ceph tier: the machine tier's, with machines of their own."""

from __future__ import annotations

from tests.machine.conftest import engine, images, machine_factory, operator

__all__ = ["engine", "images", "machine_factory", "operator"]
