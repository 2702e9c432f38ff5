"""Every fact has a default for a host without its tool."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from pyinfra.api.facts import FactBase

import facts
from tests.unit.samples import ROOT

FACTS: list[type[FactBase[Any]]] = [
    value
    for module in pkgutil.iter_modules(facts.__path__)
    for value in vars(importlib.import_module(f"facts.{module.name}")).values()
    if isinstance(value, type) and issubclass(value, FactBase) and value is not FactBase
]


def test_facts_are_found() -> None:
    assert len(FACTS) == len({fact.__name__ for fact in FACTS}) >= 8
    assert all(str(ROOT) in path for path in facts.__path__)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.__name__)
def test_default_is_empty(fact: type[FactBase[Any]]) -> None:
    default = fact.default()
    assert default == fact.default()
    nothing = vars(default).values() if hasattr(default, "__dict__") else [default]
    assert not any(value for value in nothing if value != ("", "", ""))
