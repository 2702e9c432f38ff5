"""Quay's versions: the default, and which ones run on which database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quaylab.settings.loading import Settings

NEWEST = "v3.18.0"
# From v3.17.0 on a migration of Quay's uses PostgreSQL syntax and fails on MySQL
# (measured: v3.16.5 runs on MariaDB 11.8, v3.17.4 does not migrate).
NEWEST_ON_MYSQL = "v3.16.5"
# The first that takes its first user by the API (v3.6), and the proxies that it trusts (v3.7).
OLDEST = (3, 7, 0)
MYSQL_REASON = "from v3.17.0 on Quay's own migrations work on PostgreSQL only"


def quay_version(settings: Settings) -> str:
    """Return the version to run: the setting's, or the newest that runs on the database."""
    default = NEWEST if settings.database_engine == "postgresql" else NEWEST_ON_MYSQL
    return settings.quay_version or default


def parse(version: str) -> tuple[int, int, int]:
    """Return ``v3.18.0`` as (3, 18, 0)."""
    major, minor, patch = (int(number) for number in version.removeprefix("v").split("."))
    return major, minor, patch


def is_version(text: str) -> bool:
    """Whether a text has the form of a version."""
    return re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+", text, re.ASCII) is not None


def is_legacy(version: str) -> bool:
    """Whether it is Quay 2: set up in the browser, privileged, on ports 80 and 443."""
    return parse(version)[0] == 2


def problems(settings: Settings) -> list[str]:
    """Return why the settings' version can't work."""
    version = quay_version(settings)
    if is_legacy(version):
        if settings.uses_packages:
            return [f"quay_version: {version} has no stand-in; set image_source to registry"]
        return []
    found = []
    if settings.quay_license:
        found.append(f"quay_license: Quay {version} takes none; only 2.9 does: leave it out")
    if parse(version)[0] != 3:
        found.append(f"quay_version: {version} is not known; 3.x (or v2.9.1) is")
    elif parse(version) < OLDEST:
        found.append(
            f"quay_version: {version} can't be set up without a browser, and believes any client's "
            "X-Forwarded-For; set v3.7.0 or newer"
        )
    if settings.database_engine == "mysql" and parse(version) >= (3, 17, 0):
        found.append(
            f"quay_version: {version} does not run on MySQL, {MYSQL_REASON}; set "
            f"{NEWEST_ON_MYSQL} or database_engine to postgresql"
        )
    return found
