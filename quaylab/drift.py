"""What `pyinfra --dry --json` says would change: the registry's drift, by name.

``python -m quaylab.drift`` reads that from standard input and prints it; exit status 1 if any.
"""

from __future__ import annotations

import json
import sys


def drift(plan_json: str) -> list[str]:
    """A line for each operation that would change a host."""
    return [
        f"{operation['name'].removeprefix('tasks/')}: {', '.join(operation['hosts_with_change'])}"
        for operation in json.loads(plan_json)["plan"]
        if operation["hosts_with_change"]
    ]


def main() -> int:
    """Print the drift and say by the exit status whether there is any."""
    found = drift(sys.stdin.read())
    for line in found:
        print(f"drifted  {line}")
    if not found:
        print("nothing drifted")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
