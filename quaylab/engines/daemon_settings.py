"""The engine's settings in /etc/docker/daemon.json; Quaylab sets one key of them."""

from __future__ import annotations

import json

PATH = "/etc/docker/daemon.json"
DRIVER = "overlay2"


def form_problem(text: str) -> str | None:
    """Say why the engine can't read its settings; None if it can."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        return f"is not valid JSON ({error}); put it right"
    return None if isinstance(found, dict) else "holds no JSON object; put it right"


def driver_problem(text: str) -> str | None:
    """Say why the storage driver can't be set in the engine's settings; None if it can."""
    if problem := form_problem(text):
        return problem
    features = json.loads(text or "{}").get("features")
    if isinstance(features, dict) and features.get("containerd-snapshotter"):
        return (
            "turns on containerd-snapshotter, with which images are stored outside of the engine's "
            "root; remove that feature, or docker_storage"
        )
    return None


def with_driver(text: str) -> str | None:
    """Return the engine's settings with the storage driver set; None if it is set already."""
    found = json.loads(text) if text.strip() else {}
    if found.get("storage-driver") == DRIVER:
        return None
    return json.dumps({**found, "storage-driver": DRIVER}, indent=2) + "\n"
