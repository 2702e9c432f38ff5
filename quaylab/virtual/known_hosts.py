"""The known_hosts file of the VMs, on the machine that runs pyinfra.

It also proves that the lab was made from this folder: see changes.owner_problems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def render(addresses: Mapping[str, str], keys: Mapping[str, str]) -> str:
    """Return a line for each VM that has a key, with its name and address."""
    lines = []
    for name, key in sorted(keys.items()):
        names = ",".join(filter(None, (name, addresses.get(name))))
        lines.append(f"{names} {key}\n")
    return "".join(lines)


def read(path: Path) -> str | None:
    """Return what the file holds; None: there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def save(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)
