"""Checks of an inventory's source: pyinfra silently ignores anything that isn't a group."""

from __future__ import annotations

import ast
import difflib
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quaylab.openshift.layout import GROUP
from quaylab.services import BY_NAME
from quaylab.services.base import CompanionService
from quaylab.services.object_store import ObjectStore
from quaylab.settings.loading import HostInput, HostSettings, Settings

# Hosts may be in groups of any other name too, for data of their own.
PLACES = (
    *("hypervisor", "lab", GROUP),
    *(
        name
        for name, service in BY_NAME.items()
        if not isinstance(service, (CompanionService, ObjectStore))
    ),
)
# How similar a misspelt group is, as difflib measures it.
SIMILAR = 0.8
GROUPS = ("hypervisor", "lab", GROUP, *BY_NAME, "all")
# Expressions with a literal value; that of a name or a call is known only when the file runs.
_LITERALS = (ast.Constant, ast.Dict, ast.Set, ast.JoinedStr)


def problems(inventory: Path) -> Iterator[str]:
    """Yield what pyinfra would ignore in an inventory, or fail on.

    Args:
        inventory: pyinfra's first argument, if it names a file.
    """
    if inventory.is_dir():
        yield f"{inventory}: is a folder; name the .py file in it"
    elif not inventory.is_file():
        yield f"{inventory}: no such file; name an inventory, such as inventory.py"
    else:
        yield from _in_text(inventory)


def failure(file: str, error: BaseException) -> str:
    """Say why a file of an inventory could not be executed, and in which line."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines = [error.lineno]
    place = f"{file}, line {lines[-1]}" if lines else file
    if isinstance(error, SystemExit):
        return f"{place}: ends pyinfra; leave the exit out, or raise an error that says why"
    return f"{place}: {type(error).__name__}: {error}"


def value_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the groups that pyinfra would ignore or fail on, once an inventory has run.

    Args:
        values: the variables of the inventory. None is shown: hosts' data may hold passwords.
    """
    for name, value in values.items():
        has_data = isinstance(value, tuple) and len(value) == 2
        hosts, data = value if has_data else (value, {})
        if name in GROUPS and not isinstance(hosts, list):
            yield (
                f"{name}: a {type(value).__name__} is not a list of hosts; write "
                f'{name} = ["quay.example.com"]'
            )
        # Another name is a group only if pyinfra takes it for one.
        elif isinstance(hosts, list) and (
            name in GROUPS
            or (not name.startswith("_") and all(isinstance(each, (str, tuple)) for each in hosts))
        ):
            if not isinstance(data, dict):
                yield f"{name}: its data is a {type(data).__name__}; write it as a dict"
            for index, item in enumerate(hosts):
                if not _is_host(item):
                    shown = repr(item) if isinstance(item, str) else f"a {type(item).__name__}"
                    yield (
                        f"{name}[{index}]: {shown} is not a host, which is a name or "
                        '("name", {"ssh_user": "admin"})'
                    )


def group_problems(hosts: Sequence[HostInput], groups_with_data: Iterable[str]) -> Iterator[str]:
    """Yield misspelt groups, whose hosts would run nothing, or whose data no host would get."""
    filled: dict[str, list[HostInput]] = {}
    for host in hosts:
        for group in host.groups:
            filled.setdefault(group, []).append(host)
    for group, members in filled.items():
        # A host of a known group may be in one of a similar name as well.
        idle = [host.name for host in members if not set(GROUPS) & set(host.groups)]
        if idle and (near := _misspelt(group)):
            yield (
                f"{group}: {idle[0]} is in this group, in which nothing runs; did you mean {near}?"
            )
    for group in groups_with_data:
        if group not in filled and (near := _misspelt(group)):
            yield f"{group}: no host is in this group, which has data; did you mean {near}?"


def _misspelt(group: str) -> str | None:
    """Return the group that is meant; None for a known one, and for one of another name."""
    near = difflib.get_close_matches(group, PLACES, n=1, cutoff=SIMILAR)
    return near[0] if near and group not in GROUPS else None


def _is_host(item: object) -> bool:
    if isinstance(item, tuple):
        return len(item) == 2 and isinstance(item[1], dict) and _is_name(item[0])
    return _is_name(item)


def _is_name(item: object) -> bool:
    return isinstance(item, str) and bool(item.strip())


def _in_text(inventory: Path) -> Iterator[str]:
    try:
        tree = ast.parse(inventory.read_bytes())
    except (SyntaxError, ValueError) as error:
        at = error.lineno if isinstance(error, SyntaxError) else None  # None with a NUL
        line = f", line {at}" if at else ""
        yield f"{inventory}{line}: can't be read as Python: {error}"
        return
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                for name, value in _bound(target, statement.value):
                    yield from _of_group(name, value)
        elif isinstance(statement, ast.AnnAssign) and statement.value:
            for name, value in _bound(statement.target, statement.value):
                yield from _of_group(name, value)


def _bound(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that an assignment binds, with the expression of each."""
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
        for inner, item in zip(target.elts, value.elts, strict=False):
            yield from _bound(inner, item)


def _of_group(name: str, value: ast.expr) -> Iterator[str]:
    if name in Settings.model_fields or name in HostSettings.model_fields:
        yield (
            f"{name}: is a setting, which pyinfra ignores in an inventory; set it in "
            "group_data/all.py beside the inventory, or in a host's data"
        )
        return
    hosts = value
    if isinstance(value, ast.Tuple) and len(value.elts) == 2:
        hosts = value.elts[0]  # with the group's data
    if isinstance(hosts, ast.List):
        for index, item in enumerate(hosts.elts):
            if _is_no_host(item):
                yield (
                    f"{name}[{index}]: {ast.unparse(item)} is not a host, which is a name or "
                    '("name", {"ssh_user": "admin"})'
                )
    elif name in GROUPS and isinstance(hosts, (*_LITERALS, ast.Tuple)):
        yield f"{name}: {ast.unparse(hosts)} is not a list of hosts; {_remedy(name, hosts)}"


def _is_no_host(item: ast.expr) -> bool:
    if isinstance(item, ast.Tuple):
        return len(item.elts) != 2 or isinstance(item.elts[1], (ast.Constant, ast.List, ast.Tuple))
    if isinstance(item, ast.Constant):
        return not (isinstance(item.value, str) and item.value.strip())
    return isinstance(item, (ast.Dict, ast.Set, ast.List))


def _remedy(name: str, hosts: ast.expr) -> str:
    if isinstance(hosts, ast.Tuple):
        return f"write {name} = {ast.unparse(ast.List(hosts.elts, ast.Load()))}"
    if isinstance(hosts, ast.Constant) and isinstance(hosts.value, str):
        return f"write {name} = [{ast.unparse(hosts)}]"
    return f'write {name} = ["quay.example.com"]'
