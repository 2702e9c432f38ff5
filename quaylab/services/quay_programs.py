"""Which programs run in Quay's container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MIRRORING = ("FEATURE_REPO_MIRROR", "FEATURE_ORG_MIRROR")
# Programs that only wait if none of their features is on. Each loads all of Quay: together they
# take two fifths of the start-up work and 1.5 GB. repomirrorworker runs only if it is set here.
# securityscanningnotificationworker is left out: its name ends in "notificationworker", and up to
# v3.17 Quay would switch off that worker as well.
FEATURES_OF_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "autopruneworker": ("FEATURE_AUTO_PRUNE",),
    "builder": ("FEATURE_BUILD_SUPPORT",),
    "buildlogsarchiver": ("FEATURE_BUILD_SUPPORT",),
    "gunicorn-secscan": ("FEATURE_SECURITY_SCANNER",),
    "logrotateworker": ("FEATURE_ACTION_LOG_ROTATION",),
    "proxycacheblobworker": ("FEATURE_PROXY_CACHE",),
    "pullstatsredisflushworker": ("FEATURE_IMAGE_PULL_STATS",),
    "quotaregistrysizeworker": ("FEATURE_QUOTA_MANAGEMENT",),
    "quotatotalworker": ("FEATURE_QUOTA_MANAGEMENT",),
    "reconciliationworker": ("FEATURE_ENTITLEMENT_RECONCILIATION",),
    "repomirrorworker": MIRRORING,
    "securityworker": ("FEATURE_SECURITY_SCANNER",),
    "storagereplication": ("FEATURE_STORAGE_REPLICATION",),
    "teamsyncworker": ("FEATURE_TEAM_SYNCING",),
}


def overrides(config: Mapping[str, Any]) -> str:
    """Return QUAY_OVERRIDE_SERVICES for a config.yaml."""
    return ",".join(
        f"{service}={'true' if any(config.get(feature) for feature in features) else 'false'}"
        for service, features in FEATURES_OF_PROGRAMS.items()
    )
