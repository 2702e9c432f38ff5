"""Ceph's state as one line of JSON without secrets; run where Ceph's commands are."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import Any

TIMEOUT = 60
CERTIFICATE = "rgw_frontend_ssl_certificate"
MEMORY = "osd_memory_target"
AUTOTUNE = "osd_memory_target_autotune"


def digest(user: dict[str, Any]) -> str:
    """Return a digest of a gateway user, by which keys are compared without being shown."""
    quota = user["user_quota"]
    values = [
        user["display_name"],
        user["suspended"],
        sorted([key["access_key"], *_secret(key)] for key in user["keys"]),
        sorted([key["user"], *_secret(key)] for key in user["swift_keys"]),
        sorted([each["id"], each["permissions"]] for each in user["subusers"]),
        [quota["enabled"], quota["max_size"] if quota["enabled"] else None],
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _secret(key: dict[str, Any]) -> list[str]:
    """Return a key's secret, and whether it is switched off, which Ceph tells since Squid."""
    return [key["secret_key"], *([] if key.get("active", True) else ["inactive"])]


def service(specification: dict[str, Any]) -> dict[str, Any]:
    """Return a service's specification with a digest in place of its certificate and key."""
    spec = specification.get("spec", {})
    if CERTIFICATE in spec:
        found = spec[CERTIFICATE]
        text = found if isinstance(found, str) else "\n".join(found)
        spec = {**spec, CERTIFICATE: hashlib.sha256(text.strip().encode()).hexdigest()}
    return {**specification, "spec": spec}


def memory(options: list[dict[str, Any]]) -> list[list[str]]:
    """Return who has which option of the OSDs' memory, and its value, from ``ceph config dump``."""
    return [
        ["/".join(filter(None, (each["section"], each["mask"]))), each["name"], each["value"]]
        for each in options
        if each["name"] in (MEMORY, AUTOTUNE)
    ]


def _ask(*command: str) -> Any:
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=TIMEOUT, check=True)
    return json.loads(done.stdout)


def _uses_cephadm(ceph: tuple[str, ...]) -> bool:
    """Whether cephadm runs the cluster."""
    return "cephadm" in _ask(*ceph, "mgr", "module", "ls")["enabled_modules"]


def report() -> dict[str, Any]:
    """Return health, versions and daemons of the cluster, and users and buckets of its gateway."""
    ceph = ("ceph", "--connect-timeout=10", "--format=json")
    status = _ask(*ceph, "status")
    users, buckets, declared, osd_memory = {}, [], [], []
    # Without an OSD radosgw-admin would wait for one.
    if status["osdmap"]["num_up_osds"]:
        users = {
            name: digest(_ask("radosgw-admin", "metadata", "get", f"user:{name}")["data"])
            for name in _ask("radosgw-admin", "metadata", "list", "user")
        }
        buckets = _ask("radosgw-admin", "bucket", "stats")
    if _uses_cephadm(ceph):
        declared = [{"service_type": "host", **each} for each in _ask(*ceph, "orch", "host", "ls")]
        declared += [service(each) for each in _ask(*ceph, "orch", "ls", "--export")]
        osd_memory = memory(_ask(*ceph, "config", "dump"))
    return {
        "health": status["health"]["status"],
        "checks": sorted(status["health"]["checks"]),
        "versions": _ask(*ceph, "versions"),
        "users": users,
        "buckets": {bucket["bucket"]: bucket["owner"] for bucket in buckets},
        "declared": declared,
        "osd_memory": osd_memory,
    }


if __name__ == "__main__":
    print(json.dumps(report()))
