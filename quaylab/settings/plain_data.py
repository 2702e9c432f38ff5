"""Plain data, for settings that are written to another program's YAML file.

group_data is Python, so a value may also be a path, a date or an enum: PyYAML would fail on it with
a traceback, or write it so that it reads back as something else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Set
from typing import Annotated, Any

from pydantic import BeforeValidator

KEY = re.compile(r"[A-Z][A-Z0-9_]*")
TYPES = (str, int, float, bool, type(None), list, tuple, dict)
# More than anybody writes, and far less than what Python and PyYAML can follow.
DEEPEST = 50


def problems(value: object, where: str, parents: Set[int] = frozenset()) -> Iterator[str]:
    """Yield what in a value is not plain data, each by its place in the value.

    Args:
        parents: the ids of the containers around it, to find one that holds itself.
    """
    # Not isinstance: an enum may be a str as well, and YAML would get its class's name.
    if type(value) not in TYPES:
        yield (
            f"{where} is of the type {type(value).__name__}; write a text, a number, True, False, "
            "None, a list or a dict"
        )
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield f"{where} is a number of more than 64 bits"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where} is {value}, which is not a number"
    elif id(value) in parents:
        yield f"{where} holds itself"
    elif len(parents) > DEEPEST:
        yield f"{where} is in more than {DEEPEST} lists and dicts"
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                yield f"{where} has the key {key!r}, which is not text"
            else:
                yield from problems(item, f"{where}.{key}", parents | {id(value)})
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from problems(item, f"{where}[{index}]", parents | {id(value)})


def _check_keys(value: object) -> object:
    if not isinstance(value, dict):
        return value  # pydantic says so
    found = []
    for key, item in value.items():
        if type(key) is not str or not KEY.fullmatch(key):
            found.append(f"{key!r} does not have the form of a key, such as FEATURE_MAILING")
        else:
            found += problems(item, key)
    if found:
        raise ValueError("; ".join(found))
    return value


ConfigKeys = Annotated[dict[str, Any], BeforeValidator(_check_keys)]
