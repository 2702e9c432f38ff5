"""Paths on the hosts and in this repository."""

from __future__ import annotations

from pathlib import Path

# Configuration on a host. Only root may enter it; the files belong to the uid of the container that
# reads them.
ETC = "/etc/quaylab"
# Notes and other state of runs on a host.
VAR = "/var/lib/quaylab"
# On Quay's hosts: the version of Quay that last migrated the database, which database that is, and
# where the blobs are.
SCHEMA_NOTE = f"{VAR}/schema"
DATABASE_NOTE = f"{VAR}/database"
STORAGE_NOTE = f"{VAR}/storage"
# On every host with an engine: the registry that it serves.
REGISTRY_NOTE = f"{VAR}/registry"
# On hosts whose data was moved from one engine to another: which one has it now.
ENGINE_NOTE = f"{VAR}/engine"
# A file for each image that a host fetched: its identity at that time.
IMAGE_NOTES = f"{VAR}/images"
# Where an archive of images stands while it is loaded.
IMAGE_ARCHIVES = f"{VAR}/image-archives"
# On the first of several Ceph hosts: the id of the cluster that was bootstrapped there.
CEPH_NOTE = f"{VAR}/ceph-cluster"
# On the same host: the gateways still have to restart with a specification.
GATEWAYS_NOTE = f"{VAR}/ceph-gateways"

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "quaylab" / "scripts"
IMAGES = ROOT / "images"
