"""What Ceph says of itself, as one line of JSON without a secret; run where its commands are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

PATIENCE = 60


def digest(user: dict[str, Any]) -> str:
    """Of what makes a user of the gateway: its keys can be compared, and not be read."""
    quota = user["user_quota"]
    made = [
        user["display_name"],
        user["suspended"],
        sorted([key["access_key"], key["secret_key"]] for key in user["keys"]),
        sorted([key["user"], key["secret_key"]] for key in user["swift_keys"]),
        sorted([each["id"], each["permissions"]] for each in user["subusers"]),
        [quota["enabled"], quota["max_size"] if quota["enabled"] else None],
    ]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def _ask(*command: str) -> Any:
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    return json.loads(done.stdout)


def report() -> dict[str, Any]:
    """Health, versions and daemons of the cluster; users and buckets of its gateway."""
    ceph = ("ceph", "--connect-timeout=10", "--format=json")
    status = _ask(*ceph, "status")
    users = {
        name: digest(_ask("radosgw-admin", "metadata", "get", f"user:{name}")["data"])
        for name in _ask("radosgw-admin", "metadata", "list", "user")
    }
    buckets = _ask("radosgw-admin", "bucket", "stats")
    return {
        "health": status["health"]["status"],
        "checks": sorted(status["health"]["checks"]),
        "versions": _ask(*ceph, "versions"),
        "users": users,
        "buckets": {bucket["bucket"]: bucket["owner"] for bucket in buckets},
    }


if __name__ == "__main__":
    print(json.dumps(report()))
