"""What Ceph says of itself, as one line of JSON without a secret; run where its commands are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

PATIENCE = 60
CERTIFICATE = "rgw_frontend_ssl_certificate"


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


def service(specification: dict[str, Any]) -> dict[str, Any]:
    """A service as it is declared, with a digest in the place of its certificate and key."""
    spec = specification.get("spec", {})
    if CERTIFICATE in spec:
        found = spec[CERTIFICATE]
        text = found if isinstance(found, str) else "\n".join(found)
        spec = {**spec, CERTIFICATE: hashlib.sha256(text.strip().encode()).hexdigest()}
    return {**specification, "spec": spec}


def _ask(*command: str) -> Any:
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
    return json.loads(done.stdout)


def _orchestrated(ceph: tuple[str, ...]) -> bool:
    """Whether the cluster is cephadm's."""
    return "cephadm" in _ask(*ceph, "mgr", "module", "ls")["enabled_modules"]


def report() -> dict[str, Any]:
    """Health, versions and daemons of the cluster; users and buckets of its gateway."""
    ceph = ("ceph", "--connect-timeout=10", "--format=json")
    status = _ask(*ceph, "status")
    users, buckets, declared = {}, [], []
    # Without an OSD the gateway's pools can't be asked: it would wait for one.
    if status["osdmap"]["num_up_osds"]:
        users = {
            name: digest(_ask("radosgw-admin", "metadata", "get", f"user:{name}")["data"])
            for name in _ask("radosgw-admin", "metadata", "list", "user")
        }
        buckets = _ask("radosgw-admin", "bucket", "stats")
    if _orchestrated(ceph):
        declared = [{"service_type": "host", **each} for each in _ask(*ceph, "orch", "host", "ls")]
        declared += [service(each) for each in _ask(*ceph, "orch", "ls", "--export")]
    return {
        "health": status["health"]["status"],
        "checks": sorted(status["health"]["checks"]),
        "versions": _ask(*ceph, "versions"),
        "users": users,
        "buckets": {bucket["bucket"]: bucket["owner"] for bucket in buckets},
        "declared": declared,
    }


if __name__ == "__main__":
    print(json.dumps(report()))
