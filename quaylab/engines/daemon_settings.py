"""The engine's settings, /etc/docker/daemon.json, of which one key is ours."""

from __future__ import annotations

import json

PATH = "/etc/docker/daemon.json"
DRIVER = "overlay2"


def form_problem(text: str) -> str | None:
    """Why the engine can't read its settings at all."""
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError as error:
        return f"is no valid JSON ({error}); put it right"
    return None if isinstance(found, dict) else "holds no JSON object; put it right"


def driver_problem(text: str) -> str | None:
    """Why the engine's settings can't be told the storage driver."""
    if problem := form_problem(text):
        return problem
    features = json.loads(text or "{}").get("features")
    if isinstance(features, dict) and features.get("containerd-snapshotter"):
        return (
            "turns on containerd-snapshotter, with which images are kept outside of the engine's "
            "root; remove that feature, or docker_storage"
        )
    return None


def with_driver(text: str) -> str | None:
    """The engine's settings with the storage driver; None if they have it."""
    found = json.loads(text) if text.strip() else {}
    if found.get("storage-driver") == DRIVER:
        return None
    return json.dumps({**found, "storage-driver": DRIVER}, indent=2) + "\n"
