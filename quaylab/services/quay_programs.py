"""Which services run in Quay's container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Services that do nothing but wait while none of their features is on, each with all of Quay in its
# memory: two fifths of a start's work, and 1.5 GB. Mirroring's is started by none but this.
# securityscanningnotificationworker is left out: up to v3.17 Quay would take "notificationworker",
# which its name ends in, for another one that is switched off.
FEATURES: Mapping[str, tuple[str, ...]] = {
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
    "repomirrorworker": ("FEATURE_REPO_MIRROR", "FEATURE_ORG_MIRROR"),
    "securityworker": ("FEATURE_SECURITY_SCANNER",),
    "storagereplication": ("FEATURE_STORAGE_REPLICATION",),
    "teamsyncworker": ("FEATURE_TEAM_SYNCING",),
}


def overrides(config: Mapping[str, Any]) -> str:
    """QUAY_OVERRIDE_SERVICES for a config.yaml."""
    return ",".join(
        f"{service}={'true' if any(config.get(feature) for feature in features) else 'false'}"
        for service, features in FEATURES.items()
    )
