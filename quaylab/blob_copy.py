"""The copy of Quay's blobs from their volume to an object store, in a container of Quay's image."""

from __future__ import annotations

import json

from quaylab.checks import blob_location
from quaylab.engines import ContainerEngine
from quaylab.model import Mount
from quaylab.paths import SCRIPTS, VAR
from quaylab.plan import Plan
from quaylab.services import object_store
from quaylab.services.object_store import LOCAL_PATH, MOUNT
from quaylab.services.quay import STORAGE_VOLUME, UID

CONTAINER = "quaylab-copy-blobs"
# On Quay's host, and in the container: what was verified, so that a killed run goes on there.
FOLDER, INSIDE = f"{VAR}/copied-blobs", "/copied-blobs"
MAKE_FOLDER = f"install -d -o {UID} -g 0 -m 0700 {FOLDER}"


def command(engine: ContainerEngine, image: str) -> str:
    """Return the command that copies. Its standard input is the :func:`task`."""
    mounts = (Mount(STORAGE_VOLUME, MOUNT, read_only=True), Mount(FOLDER, INSIDE))
    return engine.run_script(CONTAINER, mounts, image, (SCRIPTS / "copy_blobs.py").read_text())


def task(plan: Plan, is_last: bool) -> str:
    """Return the input of scripts/copy_blobs.py, which has Quay's keys: as Quay's driver has it.

    Args:
        is_last: whether Quay is stopped.
    """
    settings, topology, credentials = plan.settings, plan.topology, plan.credentials
    store = topology.object_store
    assert store  # else the run was refused
    keys = object_store.keys_of(object_store.config(settings, topology, credentials))
    names = {
        "storage_access_key": "aws_access_key_id",
        "storage_secret_key": "aws_secret_access_key",
    }
    bundle = plan.workloads_for("quay", topology.first_quay)[0].files
    return json.dumps(
        {
            "source": LOCAL_PATH,
            "record": f"{INSIDE}/verified",
            "place": blob_location.place(settings, topology),
            "url": store.url,
            "region": settings.storage_region,
            "bucket": settings.storage_bucket,
            "path": settings.storage_path,
            "keys": {names[key]: value for key, value in keys.items()},
            "is_s3": store.kind == "s3",
            "authorities": [file.content for file in bundle if "/extra_ca_certs/" in file.path],
            "proxy": object_store.proxy(settings, store),
            "is_last": is_last,
        }
    )
