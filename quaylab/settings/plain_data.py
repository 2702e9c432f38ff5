"""Data that a YAML file carries as it is, for settings that are handed on to somebody else's file.

group_data is Python, so a value may be anything: a path, a date, an enum, which PyYAML would refuse
by a traceback or write in a form that reads back as something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Set
from typing import Annotated, Any

from pydantic import BeforeValidator

KEY = re.compile(r"[A-Z][A-Z0-9_]*")
TYPES = (str, int, float, bool, type(None), list, tuple, dict)


def problems(value: object, where: str, around: Set[int] = frozenset()) -> Iterator[str]:
    """What of a value is no such data, each by its place in it.

    Args:
        around: the ids of what it lies in.
    """
    # Not isinstance: an enum may be a text as well, and is written by its class's name.
    if type(value) not in TYPES:
        yield (
            f"{where} is of the type {type(value).__name__}; write a text, a number, True, False, "
            "None, a list or a dict"
        )
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where} is {value}, which is no number"
    elif id(value) in around:
        yield f"{where} holds itself"
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                yield f"{where} has the key {key!r}, which is no text"
            else:
                yield from problems(item, f"{where}.{key}", around | {id(value)})
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from problems(item, f"{where}[{index}]", around | {id(value)})


def _checked(value: object) -> object:
    if not isinstance(value, dict):
        return value  # pydantic says so
    found = []
    for key, item in value.items():
        if type(key) is not str or not KEY.fullmatch(key):
            found.append(f"{key!r} has not the form of a key, which is for example FEATURE_MAILING")
        else:
            found += problems(item, key)
    if found:
        raise ValueError("; ".join(found))
    return value


ConfigKeys = Annotated[dict[str, Any], BeforeValidator(_checked)]
