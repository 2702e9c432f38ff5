"""An inventory's hosts, without a run of pyinfra."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from quaylab.settings.loading import HostInput


def read(inventory: Path, data: Sequence[str]) -> list[HostInput]:
    """Return an inventory's hosts with their groups and data, as a run of pyinfra has them.

    Args:
        data: overrides of the data, each KEY=VALUE.

    Raises:
        ValueError: pyinfra can't read it; the message says why.
    """
    reader = [sys.executable, "-m", "operations.runtime.read_inventory", str(inventory), *data]
    done = subprocess.run(reader, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["pyinfra can't read it"])[-1])
    return [
        HostInput(host["name"], tuple(host["groups"]), host["data"])
        for host in json.loads(done.stdout)
    ]
