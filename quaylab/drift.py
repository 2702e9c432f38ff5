"""The registry's drift: the operations that would change a host, by `pyinfra --dry --json`.

``python -m quaylab.drift`` reads that JSON from standard input and prints the drift. Its exit
status is 1 if anything drifted, and 2 if there is no plan to read.
"""

from __future__ import annotations

import json
import sys


def drift(plan_json: str) -> list[str]:
    """Return a line for each operation that would change a host."""
    return [
        f"{operation['name'].removeprefix('tasks/')}: {', '.join(operation['hosts_with_change'])}"
        for operation in json.loads(plan_json)["plan"]
        if operation["hosts_with_change"]
    ]


def main() -> int:
    """Print the drift; return 1 if there is any, 2 if it can't be told."""
    try:
        found = drift(sys.stdin.read())
    except ValueError as error:
        print(f"the plan of the dry run can't be read: {error}", file=sys.stderr)
        return 2
    for line in found:
        print(f"drifted  {line}")
    if not found:
        print("nothing drifted")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
