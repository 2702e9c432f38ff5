"""Which programs run in Quay's container."""

from __future__ import annotations

from quaylab.services import quay_config, quay_programs
from tests.unit.samples import CREDENTIALS, one_host, settings

# The programs of v3.16.5, v3.17.4 and v3.18.0 that are not in FEATURES_OF_PROGRAMS.
OTHERS = (
    "blobuploadcleanupworker", "chunkcleanupworker", "dnsmasq", "expiredappspecifictokenworker",
    "exportactionlogsworker", "gcworker", "globalpromstats", "gunicorn-registry", "gunicorn-web",
    "ip-resolver-update-worker", "manifestbackfillworker", "manifestsubjectbackfillworker",
    "memcache", "namespacegcworker", "nginx", "notificationworker", "pushgateway",
    "queuecleanupworker", "repositoryactioncounter", "repositorygcworker",
    "securityscanningnotificationworker", "servicekey",
)  # fmt: skip


def _overrides(**changes: bool) -> dict[str, str]:
    config = quay_config.build(settings(quay_config=changes), one_host(), CREDENTIALS)
    return dict(each.split("=") for each in quay_programs.overrides(config).split(","))


def test_programs_of_disabled_features_do_not_run() -> None:
    assert set(_overrides().values()) == {"false"}


def test_programs_of_an_enabled_feature_run() -> None:
    found = _overrides(FEATURE_QUOTA_MANAGEMENT=True, FEATURE_ORG_MIRROR=True)
    running = {service for service, runs in found.items() if runs == "true"}
    assert running == {"quotaregistrysizeworker", "quotatotalworker", "repomirrorworker"}


def test_no_other_programs_name_matches_a_disabled_one() -> None:
    """Up to v3.17 Quay looks for NAME=false anywhere in the text."""
    for other in OTHERS:
        assert not any(service.endswith(other) for service in quay_programs.FEATURES_OF_PROGRAMS), (
            other
        )
