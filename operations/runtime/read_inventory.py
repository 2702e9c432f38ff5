"""Print an inventory, as pyinfra itself reads it, as JSON.

This runs in a process of its own, because importing pyinfra_cli patches gevent into it:
python -m operations.runtime.read_inventory INVENTORY [KEY=VALUE …]
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from pyinfra.api import State
from pyinfra.context import ctx_state
from pyinfra_cli.exceptions import UnexpectedExternalError  # type: ignore[import-untyped]
from pyinfra_cli.inventory import make_inventory  # type: ignore[import-untyped]
from pyinfra_cli.util import parse_cli_arg  # type: ignore[import-untyped]


def main(inventory: str, *data: str) -> None:
    overrides = dict(item.split("=", 1) for item in data)
    # What an inventory prints must not get into the JSON.
    with redirect_stdout(sys.stderr), ctx_state.use(State()):
        try:
            made = make_inventory(
                inventory,
                override_data={key: parse_cli_arg(value) for key, value in overrides.items()},
                cwd=str(Path.cwd()),
            )
        except UnexpectedExternalError as error:
            # The error that pyinfra wraps around an inventory's own has no text.
            sys.exit(f"{type(error.exception).__name__}: {error.exception}")
        except SystemExit:
            sys.exit("ends Python; leave the exit out, or raise an error that says why")
    hosts = [
        {"name": host.name, "groups": host.groups, "data": _plain(host.name, host.data.dict())}
        for host in made
    ]
    json.dump(hosts, sys.stdout, default=_text)


def _plain(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a host's data without functions, which some connectors take, and without helpers that
    JSON has no form for."""
    return {key: value for key, value in data.items() if _is_plain(name, key, value)}


def _is_plain(name: str, key: str, value: object) -> bool:
    try:
        if _holds_code(value):
            return False
        json.dumps(value, default=_text)
    except (TypeError, ValueError, RecursionError) as error:
        if not key.startswith("_"):
            sys.exit(f"{key}: can't be read for {name}: {error}; write texts, numbers and lists")
        return False
    return True


def _text(value: object) -> str:
    """Return a path as text, which settings take as well."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"it holds a {type(value).__name__}")


def _holds_code(value: object) -> bool:
    if isinstance(value, dict):
        return any(_holds_code(item) for item in value.values())
    return callable(value)


if __name__ == "__main__":
    main(*sys.argv[1:])
