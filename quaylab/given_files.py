"""Files that settings name: those that only go together, and those of the wrong kind."""

from __future__ import annotations

import json
from pathlib import Path

from quaylab import certificates
from quaylab.settings import Settings


def problems(settings: Settings) -> list[str]:
    """What is wrong with them, each by its setting."""
    found = []
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        missing = "tls_key" if settings.tls_certificate else "tls_certificate"
        found.append(f"{missing}: not set; a certificate and its key go together")
    if (settings.image_source == "archive") != (settings.image_archive is not None):
        found.append("image_archive: set it together with image_source=archive, and only with that")
    for key in ("company_ca", "storage_ca", "database_ca", "redis_ca"):
        if file := getattr(settings, key):
            found += certificates.authority_problems(key, file)
    if settings.pull_secret and not _has_logins(settings.pull_secret):
        found.append(f"pull_secret: {settings.pull_secret} is no config.json with logins")
    return found


def _has_logins(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_text())["auths"], dict)
    except (ValueError, LookupError, TypeError):
        return False
