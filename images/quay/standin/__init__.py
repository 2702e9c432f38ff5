"""A stand-in for Quay, for places without a Quay image: it follows Quay's contract.

It takes Quay's configuration bundle, entry points and environment, and answers requests as a
recorded Quay did, with its errors, caches and oddities; it refuses with 501 what it can't do.
Accounts, repositories, manifests and tags are in the database of DB_URI; blobs are in the
configured object storage, written by Debian's docker-registry; Redis gets the user events. nginx
stands in front, as in Quay. There is no browser interface, no builder, mirror, scanner, quota, team
or garbage collection.
"""

import os


class StartError(Exception):
    """A reason not to start: one line for whoever reads the container's log."""

    def __init__(self, reason: str, status: int = 1) -> None:
        super().__init__(reason)
        self.status = status


def version() -> str:
    """Return the imitated Quay version, such as v3.18.0."""
    return os.environ["QUAY_VERSION"]


def minor_version() -> tuple[int, int]:
    """Return that version's major and minor number, for comparisons."""
    major, minor, *_ = version().removeprefix("v").split(".")
    return int(major), int(minor)
