"""Where things are: on the hosts, and in this folder."""

from __future__ import annotations

from pathlib import Path

# Configuration on a host. Only root may enter: below it, files belong to the uid of the container
# that reads them.
ETC = "/etc/quaylab"
# What runs note on a host, and what they keep there.
VAR = "/var/lib/quaylab"
# On the leader: the version of Quay that migrated the database last, and where the blobs are.
SCHEMA_NOTE = f"{VAR}/schema"
STORAGE_NOTE = f"{VAR}/storage"
# On every host with an engine: the registry that it serves.
REGISTRY_NOTE = f"{VAR}/registry"
# Of each image that a host fetched: what identified it then.
IMAGE_NOTES = f"{VAR}/images"
# On the first of several Ceph hosts: the cluster whose bootstrap came to its end there.
CEPH_NOTE = f"{VAR}/ceph-cluster"

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "quaylab" / "scripts"
IMAGES = ROOT / "images"
