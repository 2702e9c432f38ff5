"""Kubernetes' quantities, such as 500m or 4Gi."""

from __future__ import annotations

import re

_FACTORS = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    **{letter: 1000.0**power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)},
}


def number(quantity: str | int) -> float:
    """Return a quantity as a number.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)", str(quantity))
    if not found or found[2] not in _FACTORS:
        raise ValueError(f"{quantity!r} is not a quantity")
    return float(found[1]) * _FACTORS[found[2]]


def shortest(mebibytes: int) -> str:
    """Return an amount as the API's own clients write it: 4Gi, not 4096Mi."""
    for unit, size in (("Ti", 1024**2), ("Gi", 1024)):
        if mebibytes % size == 0:
            return f"{mebibytes // size}{unit}"
    return f"{mebibytes}Mi"


def text(amount: float) -> str:
    """Return a number as a quantity for people, such as 4.5Gi."""
    for unit in ("Gi", "Mi"):
        if amount >= _FACTORS[unit]:
            return f"{amount / _FACTORS[unit]:g}{unit}"
    return f"{amount:g}"
