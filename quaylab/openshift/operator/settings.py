"""Settings that Quay's operator does not follow, because it decides these things itself."""

from __future__ import annotations

from collections.abc import Iterator

from quaylab.settings.loading import Settings
from quaylab.settings.reference import defaults
from quaylab.versions import parse, quay_version

# GB of the operator's own volume for the database, which it doesn't make smaller.
DATABASE_GB = 50
# The first version whose operator lets Quay's memory be chosen (`resources` of an override), and
# the first that lets the storage class be (`storageClassName`), by quay-operator's branches.
OLDEST, CHOOSES_CLASS = (3, 11), (3, 16)
# A key of config.yaml that belongs to the object store, and may be set by the user.
REPLICATION = "FEATURE_STORAGE_REPLICATION"


def problems(settings: Settings) -> Iterator[str]:
    """Yield the settings that would have no effect, or that the operator refuses."""
    usual, version = defaults(), quay_version(settings)
    if parse(version)[:2] < OLDEST:
        yield (
            f"quay_version: {version}, but Quaylab works with the operator from v3.11.0 on; set a "
            "later version, or openshift_method to template"
        )
    for key, reason in _own_decisions(settings).items():
        if getattr(settings, key) != usual[key]:
            yield f"{key}: the operator {reason}; leave it out, or set openshift_method to template"
    if settings.database_engine != "postgresql":
        yield (
            f"database_engine: {settings.database_engine}, but the operator runs Quay on "
            "PostgreSQL; set postgresql"
        )
    if settings.storage == "local":
        yield (
            "storage: local, but the operator keeps no blobs in a volume; leave it out, and it "
            "makes a bucket, or name an object store"
        )
    if _makes_bucket(settings) and REPLICATION in settings.quay_config:
        yield (
            f"quay_config: {REPLICATION} belongs to the object store, which the operator "
            "configures; leave it out, or set `storage`"
        )
    size = settings.openshift_database_gb
    is_chosen = size != usual["openshift_database_gb"]
    if is_chosen and size < DATABASE_GB and not settings.database_host:
        yield (
            f"openshift_database_gb: {size}, and the operator's volume has at least {DATABASE_GB}; "
            "leave it out, or set more"
        )


def database_gb(settings: Settings) -> int:
    """Return the size of the database's volume: the operator refuses a smaller one than its own."""
    return max(DATABASE_GB, settings.openshift_database_gb)


def _own_decisions(settings: Settings) -> dict[str, str]:
    """Return what the operator decides itself, by the setting that has no effect."""
    found = {
        "quay_image": "has the image of its own version of Quay",
        "pull_secret": "has images pulled with the cluster's own logins, where it has to be added",
        "openshift_blobs_gb": "keeps no blobs in a volume",
    }
    if parse(quay_version(settings))[:2] < CHOOSES_CLASS:
        found["openshift_storage_class"] = "takes the cluster's default class before v3.16.0"
    elif settings.database_host:
        found["openshift_storage_class"] = "makes no volume, as the database runs elsewhere"
    if not settings.database_host:
        found |= {
            "postgresql_image": "has a PostgreSQL image of its own",
            "database_name": "names its database itself",
            "database_user": "names its database's role itself",
        }
    if not settings.redis_host:
        found["redis_image"] = "has a Redis image of its own"
    if _makes_bucket(settings):
        found |= {
            "storage_bucket": "names its bucket itself",
            "storage_path": "chooses the prefix in its bucket itself",
            "storage_location": "names the location of its bucket itself",
        }
    return found


def _makes_bucket(settings: Settings) -> bool:
    return settings.storage is None
