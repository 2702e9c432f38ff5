"""Answers that Quay caches for a while, although the data has changed."""

import time
from collections.abc import Callable, Hashable
from typing import Any

from standin.config import Settings

SECONDS = 120
ENTRIES = 10_000


class Cache:
    """Cached answers, by key. Each node has its own cache."""

    def __init__(self, settings: Settings) -> None:
        engine = (settings.values.get("DATA_MODEL_CACHE_CONFIG") or {}).get("engine")
        self._is_on = engine != "noop"
        self._found: dict[Hashable, tuple[float, Any]] = {}

    def get(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """Return the cached value for that key, or load it. None is not cached."""
        now = time.monotonic()
        until, value = self._found.get(key, (0.0, None))
        if now < until:
            return value
        value = load()
        if value is not None and self._is_on:
            if len(self._found) >= ENTRIES:
                self._found.clear()
            self._found[key] = (now + SECONDS, value)
        return value
