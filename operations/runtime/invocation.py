"""How the user has started the run. pyinfra has no attributes that say so."""

from __future__ import annotations

import sys
from pathlib import Path


def is_dry() -> bool:
    """Whether the run only shows what it would do: it writes nothing then, and takes no lock."""
    return "--dry" in sys.argv


def executes_at_once() -> bool:
    """Whether the run executes its operations without a question to the user before."""
    return not is_dry() and not {"-y", "--yes"}.isdisjoint(sys.argv)


def includes_quay() -> bool:
    """Whether the run was started with a deploy file that includes tasks/quay.py, or with it."""
    return any(Path(word).name in ("deploy.py", "quay.py") for word in sys.argv)
