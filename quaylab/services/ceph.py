"""A Ceph cluster in one container: its files, its volume, its specification, and Quay's user."""

from __future__ import annotations

import hashlib
import json
import shlex
import uuid
from typing import Any

from quaylab.containers import Container, Mount, PublishedPort
from quaylab.files import ManagedFile
from quaylab.images import ceph_image
from quaylab.parts import Part, Volume, digests, volume_labels
from quaylab.paths import ETC, SCRIPTS
from quaylab.secrets.credentials import Credentials
from quaylab.settings import Settings
from quaylab.topology import LOOPBACK, RADOSGW_PORT, Topology, container_name

DIRECTORY = f"{ETC}/ceph"
# Of this container alone: whatever address the engine gives it, the monitor keeps its own.
ADDRESS = LOOPBACK
STATE = "/var/lib/ceph/lab"
USER = "quay"
SWIFT_USER = f"{USER}:swift"
GIB = 1024**3


def part(settings: Settings, topology: Topology, credentials: Credentials) -> Part:
    """Monitor, manager, OSDs and RadosGW."""
    assert topology.store and topology.store.listen  # a host of group `ceph` serves it
    image = ceph_image(settings)
    name = container_name("ceph")
    tls = settings.storage_tls
    contents = {
        "run-ceph": (SCRIPTS / "run-ceph").read_text(),
        "cluster": _cluster(settings, credentials),
        "ceph.conf": _configuration(settings, credentials),
    }
    if tls:
        assert credentials.ceph_certificate and credentials.ceph_certificate_key
        contents["tls.crt"] = credentials.ceph_certificate
        contents["tls.key"] = credentials.ceph_certificate_key.get_secret_value()
    # For root alone, as the daemons' uid is another in each image: the script hands them on.
    files = tuple(
        ManagedFile(f"{DIRECTORY}/{name}", content, mode=0o400)
        for name, content in contents.items()
    )
    return Part(
        image,
        files,
        Volume(
            name,
            settings.ceph_data,
            0,
            volume_labels(settings, credentials, "ceph", settings.ceph_data),
        ),
        Container(
            name=name,
            image=image.reference,
            version=image.reference.rpartition(":")[2],
            owner=credentials.fingerprint,
            command=("bash", f"{ETC}/run-ceph"),
            environment=(("CEPH_CONF", "/run/ceph/ceph.conf"),),
            health=(
                "curl --fail --silent --insecure --max-time 5 --output /dev/null "
                f"{'https' if tls else 'http'}://{LOOPBACK}:{RADOSGW_PORT}/"
            ),
            ports=(PublishedPort(RADOSGW_PORT, topology.store.port, topology.store.listen),),
            mounts=(
                Mount(DIRECTORY, ETC, read_only=True),
                Mount(name, "/var/lib/ceph"),
                *(Mount(path, path) for path in osd_files(settings)),
            ),
            files=digests(*files),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            # It stops its daemons one after the other, those that hold data last.
            stop_timeout=60,
            devices=block_devices(settings),
        ),
    )


def osd_files(settings: Settings) -> tuple[str, ...]:
    """Those OSDs that are files on the host."""
    return tuple(path for path in settings.ceph_osd_devices if not path.startswith("/dev/"))


def block_devices(settings: Settings) -> tuple[str, ...]:
    """Those OSDs that are block devices, such as logical volumes."""
    return tuple(path for path in settings.ceph_osd_devices if path.startswith("/dev/"))


def user(settings: Settings, credentials: Credentials) -> dict[str, Any]:
    """Quay's user, as Ceph's gateway keeps it and takes it through standard input."""
    access, secret = credentials.storage_access_key, credentials.storage_secret_key
    assert access and secret  # made with the plan
    quota = settings.ceph_quota_gb
    swift = credentials.swift_password if settings.ceph_swift else None
    nothing = {"enabled": False, "check_on_raw": False, "max_size": -1, "max_objects": -1}
    return {
        "user_id": USER,
        "display_name": "Quay",
        "email": "",
        "suspended": 0,
        "max_buckets": 1000,
        "subusers": [{"id": SWIFT_USER, "permissions": "full-control"}] if swift else [],
        "keys": [
            {
                "user": USER,
                "access_key": access.get_secret_value(),
                "secret_key": secret.get_secret_value(),
            }
        ],
        "swift_keys": (
            [{"user": SWIFT_USER, "secret_key": swift.get_secret_value()}] if swift else []
        ),
        "caps": [],
        "op_mask": "read, write, delete",
        "default_placement": "",
        "default_storage_class": "",
        "placement_tags": [],
        "bucket_quota": nothing,
        "user_quota": {**nothing, "enabled": True, "max_size": quota * GIB} if quota else nothing,
        "temp_url_keys": [],
        "type": "rgw",
        "mfa_ids": [],
    }


def metadata(user: dict[str, Any]) -> str:
    """What ``radosgw-admin metadata put user:quay`` reads; the version is this record's own."""
    record = {
        "key": f"user:{user['user_id']}",
        "ver": {"tag": "quaylab", "ver": 1},
        "mtime": "0.000000",
        "data": user,
    }
    return json.dumps(record)


def cluster_id(credentials: Credentials) -> str:
    """The cluster's fsid: the same for the same credentials."""
    return str(uuid.UUID(hashlib.sha256(credentials.identity.encode()).hexdigest()[:32]))


def _cluster(settings: Settings, credentials: Credentials) -> str:
    """What the script reads: its own variables, in bash. An OSD without a device is a file."""
    devices = " ".join(shlex.quote(path) for path in settings.ceph_osd_devices or ("",))
    return (
        f"FSID={cluster_id(credentials)}\nADDRESS={ADDRESS}\n"
        f"OSD_SIZE={settings.ceph_osd_size_gb}G\nDEVICES=({devices})\n"
    )


def _configuration(settings: Settings, credentials: Credentials) -> str:
    """ceph.conf of one host: one copy of everything, little memory, errors to the engine's log."""
    port = (
        f"ssl_port={RADOSGW_PORT} ssl_certificate=/run/ceph/tls.crt "
        "ssl_private_key=/run/ceph/tls.key"
        if settings.storage_tls
        else f"port={RADOSGW_PORT}"
    )
    return f"""\
[global]
fsid = {cluster_id(credentials)}
mon_host = [v2:{ADDRESS}:3300,v1:{ADDRESS}:6789]
public_addr = {ADDRESS}
cluster_addr = {ADDRESS}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_data_avail_warn = 10
auth_allow_insecure_global_id_reclaim = false
osd_memory_target = {settings.ceph_osd_memory_mb * 1024**2}
log_to_file = false
log_to_stderr = true
mon_cluster_log_to_file = false
debug_mon = 0
debug_mgr = 0
debug_osd = 0
debug_rgw = 0
debug_rocksdb = 0
debug_bluestore = 0
debug_bluefs = 0
debug_bdev = 0
debug_paxos = 0

[client.admin]
keyring = {STATE}/keys/admin

[client.rgw]
keyring = {STATE}/rgw/keyring
rgw_frontends = beast {port}
"""
