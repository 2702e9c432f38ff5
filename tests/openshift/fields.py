"""Server-side apply: who owns which fields of an object.

A path is a tuple of steps: a key of a dict, or for an item of a list that is merged by keys a tuple
of these keys' values. Lists without such keys are replaced as a whole, as the real server does with
those that its schema calls atomic.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[Any, ...]
# The keys by which the items of a list are told apart, by the list's name: from the schemas'
# x-kubernetes-list-map-keys.
LIST_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "volumes": (("name",),),
    "env": (("name",),),
    "imagePullSecrets": (("name",),),
    "volumeMounts": (("mountPath",),),
    "conditions": (("type",),),
    # Of a container, and of a Service.
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
}
# What no manager owns.
UNOWNED = {"apiVersion", "kind", "status"}
UNOWNED_METADATA = {
    "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
    "managedFields",
}  # fmt: skip


def keys_of(name: str, items: list[Any]) -> tuple[str, ...] | None:
    """Return the keys that tell a list's items apart; None: it is replaced as a whole."""
    for keys in LIST_KEYS.get(name, ()):
        if items and all(isinstance(each, dict) and each.keys() >= set(keys) for each in items):
            return keys
    return None


def paths(manifest: Mapping[str, Any]) -> set[Path]:
    """Return the paths of the fields that a manifest sets."""
    owned = {key: value for key, value in manifest.items() if key not in UNOWNED}
    owned["metadata"] = {
        key: value
        for key, value in manifest.get("metadata", {}).items()
        if key not in UNOWNED_METADATA
    }
    return set(_paths(owned, ()))


def _paths(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
        return
    if isinstance(value, list) and (keys := keys_of(str(path[-1]), value)):
        for item in value:
            here = (*path, tuple((key, item[key]) for key in keys))
            yield here
            for key, part in item.items():
                yield from _paths(part, (*here, key))
        return
    yield path


def get(value: Any, path: Path) -> Any:
    """Return the value at a path; None if it is not there."""
    for step in path:
        if isinstance(step, tuple):
            value = next((each for each in value or [] if _is(each, step)), None)
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _is(item: Any, step: tuple[tuple[str, Any], ...]) -> bool:
    return isinstance(item, dict) and all(item.get(key) == wanted for key, wanted in step)


def merged(live: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with the fields of a manifest set."""
    result = copy.deepcopy(live)
    _merge(result, config)
    return result


def _merge(live: dict[str, Any], config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        found = live.get(key)
        if isinstance(value, dict) and isinstance(found, dict):
            _merge(found, value)
        elif (
            isinstance(value, list)
            and isinstance(found, list)
            and (keys := keys_of(key, value))
            and keys_of(key, found or value) == keys
        ):
            for item in value:
                same = next((e for e in found if all(e[k] == item[k] for k in keys)), None)
                if same is None:
                    found.append(copy.deepcopy(item))
                else:
                    _merge(same, item)
        else:
            live[key] = copy.deepcopy(value)


def without(live: dict[str, Any], path: Path) -> None:
    """Remove the field at a path."""
    parent, last = get(live, path[:-1]), path[-1]
    if isinstance(last, tuple):
        if isinstance(parent, list):
            parent[:] = [each for each in parent if not _is(each, last)]
    elif isinstance(parent, dict):
        parent.pop(last, None)


def fields_v1(owned: set[Path]) -> dict[str, Any]:
    """Return owned fields in the form of managedFields."""

    tree: dict[str, Any] = {}
    for path in sorted(owned, key=repr):
        here = tree
        for step in path:
            name = f"k:{json.dumps(dict(step))}" if isinstance(step, tuple) else f"f:{step}"
            here = here.setdefault(name, {})
    return tree
