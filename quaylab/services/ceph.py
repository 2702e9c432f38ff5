"""Ceph: a cluster in one container, or one of several hosts by cephadm; and Quay's user in it."""

from __future__ import annotations

import hashlib
import json
import shlex
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from quaylab.engines import ContainerEngine
from quaylab.images import Image, packaged_image
from quaylab.model import (
    LOOPBACK,
    Container,
    ManagedFile,
    Mount,
    PublishedPort,
    Volume,
    digests,
)
from quaylab.paths import ETC, SCRIPTS, STORAGE_NOTE
from quaylab.secrets import certificates
from quaylab.services import cephadm
from quaylab.services.base import (
    Audience,
    Context,
    Groups,
    Maker,
    Need,
    Port,
    Secret,
    Service,
    Workload,
    volume_labels,
)
from quaylab.services.object_store import RADOSGW_PORT, gateway_port
from quaylab.settings.types import HostPath, ImageName, PortNumber, Section

if TYPE_CHECKING:
    from quaylab.hosts.machine import Machine
    from quaylab.secrets.credentials import Credentials
    from quaylab.settings.loading import Settings
    from quaylab.topology import Topology

CONTAINER = cephadm.ONE_HOST
DIRECTORY = f"{ETC}/ceph"
# The file with run-ceph's variables, from which a host reports the OSDs' size.
VARIABLES = f"{DIRECTORY}/cluster"
# The monitor's address, inside this container only: it stays the same whatever the engine assigns.
ADDRESS = LOOPBACK
STATE = "/var/lib/ceph/lab"
USER = "quay"
SWIFT_USER = f"{USER}:swift"
# The version that Debian 13 packages.
DEBIAN_VERSION = "18.2.7"
GIB = 1024**3
# MB of memory for an OSD beside all else on one host: Ceph's own default is 4096.
OSD_MEMORY_MB = 1024


def _as_tuple(value: object) -> object:
    """Take a list, as --data gives one. Not a set, which has another order in each run, and not a
    generator, which is empty after the first reading."""
    return tuple(value) if isinstance(value, list) else value


def _check_repetition(paths: tuple[str, ...]) -> tuple[str, ...]:
    for path in paths:
        if paths.count(path) > 1:
            raise ValueError(f"names {path} more than once; name it once")
    return paths


Devices = Annotated[
    tuple[HostPath, ...], BeforeValidator(_as_tuple), AfterValidator(_check_repetition)
]


class CephSettings(Section):
    """Ceph, run here: on one host, or by cephadm on three and more."""

    ceph_image: ImageName = Field(description="Ceph's image, also for cephadm")
    ceph_osd_devices: Devices = Field(
        description="Each Ceph host's block devices or files for its OSDs; empty: on one host a "
        "file in its data, on several every unused disk",
    )
    ceph_osd_size_gb: int = Field(ge=1, le=65536, description="GB of an OSD that is a file")
    ceph_osd_memory_mb: int | None = Field(
        ge=896,
        le=1048576,
        description="MB of memory for each OSD; None: 1024 on one host, 4096 on several",
    )
    ceph_data: HostPath | None = Field(
        description="Directory on a single Ceph host for its data; None: a named volume",
    )
    ceph_quota_gb: int | None = Field(
        ge=1, le=1048576, description="GB that Quay's blobs may take up in Ceph; None: no limit"
    )
    ceph_swift: bool = Field(
        description="Whether Quay's user in Ceph may use its Swift interface as well, as quay:swift"
    )
    ingress_port: PortNumber = Field(
        description="With several Ceph hosts and balancers: port of the gateways on the balancers"
    )


# Settings that are set only by somebody who wants Ceph.
WITHOUT_DEFAULT = ("ceph_osd_devices", "ceph_data", "ceph_quota_gb", "ceph_swift")


class CephSecrets(BaseModel):
    # The password of quay:swift, if Ceph's Swift interface is enabled.
    swift_password: SecretStr | None = None
    # Ceph's own certificate, signed by the same CA.
    ceph_certificate: str | None = None
    ceph_certificate_key: SecretStr | None = None
    ceph_ssh_key: SecretStr | None = None


class Ceph(Service):
    name = "ceph"
    title = "Ceph"
    needs_peer_address = True
    secrets = (Secret("swift_password", has_variable=False),)
    directories = ("ceph_data",)

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        for key in WITHOUT_DEFAULT:
            if getattr(settings, key) and not groups["ceph"]:
                yield f"{key}: no host is in group `ceph`; put one there, or leave it out"

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        if settings.ceph_swift and groups["ceph"]:
            yield Need("swift_password", Maker.QUAYLAB)

    def with_keys(
        self, credentials: Credentials, settings: Settings, topology: Topology
    ) -> Credentials:
        hosts = topology.hosts[self.name]
        if hosts and not runs_in_container(hosts):
            credentials = cephadm.with_ssh_key(credentials)
        if hosts and settings.storage_tls:
            credentials = certificates.with_ceph_certificate(
                credentials, topology.hostname, _names(topology)
            )
        return credentials

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        if len(groups["ceph"]) == 2:
            yield (
                "ceph: 2 hosts in group `ceph`, and two can't outvote each other; keep one, or "
                "take three or more"
            )

    def images(self, context: Context, host: str) -> tuple[Image, ...]:
        return (image(context.settings),)

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        topology, number = context.topology, gateway_port(context.settings)
        published = PublishedPort(RADOSGW_PORT, number, topology.addresses[host])
        audience = Audience.BALANCERS if topology.hosts["ingress"] else Audience.QUAY
        return (Port(published, "storage_port", audience),)

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        if not runs_in_container(context.topology.hosts["ceph"]):
            return ()
        settings, name = context.settings, CONTAINER
        wanted, files = image(settings), _files(context)
        volume = Volume(
            self.name,
            name,
            settings.ceph_data,
            0,
            volume_labels(context, "ceph", settings.ceph_data),
            setting="ceph_data",
            purpose="Ceph's objects",
        )
        scheme = "https" if settings.storage_tls else "http"
        container = Container(
            name=name,
            image=wanted.reference,
            version=wanted.tag,
            owner=context.credentials.fingerprint,
            command=("bash", f"{ETC}/run-ceph"),
            environment=(("CEPH_CONF", "/run/ceph/ceph.conf"),),
            health=(
                "curl --fail --silent --insecure --max-time 5 --output /dev/null "
                f"{scheme}://{LOOPBACK}:{RADOSGW_PORT}/"
            ),
            ports=tuple(port.published for port in self.ports(context, host)),
            mounts=(
                Mount(DIRECTORY, ETC, read_only=True),
                Mount(name, "/var/lib/ceph"),
                *(Mount(path, path) for path in osd_files(settings)),
            ),
            files=digests(*files),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            # It stops its daemons one by one, those with data last.
            stop_timeout=60,
            devices=block_devices(settings),
            # Podman 5.4's profile denies io_pgetevents, which an OSD of Debian's needs.
            seccomp_unconfined=settings.uses_packages,
            # All daemons of a cluster: a gateway has hundreds of threads, and each OSD dozens.
            unlimited_tasks=True,
        )
        return (Workload(self.name, wanted, files, volume, container),)

    def problems(self, context: Context) -> Iterator[str]:
        yield from cephadm.problems(context, cluster_id(context.credentials))
        hosts, settings = context.topology.hosts[self.name], context.settings
        if not runs_in_container(hosts) or hosts[0] not in context.machines:
            return
        before, now = context.machines[hosts[0]].ceph_osd_size_gb, settings.ceph_osd_size_gb
        has_files = not settings.ceph_osd_devices or osd_files(settings)
        if before and before > now and has_files:
            yield (
                f"ceph_osd_size_gb: {now}, but the OSDs on {hosts[0]} have {before} GB, and an OSD "
                "can't shrink; set it back"
            )

    def data_note(self, quay: Machine) -> str | None:
        return STORAGE_NOTE if quay.blob_store == "radosgw" else None


def _names(topology: Topology) -> tuple[str, ...]:
    """Return the names and addresses that the gateways' certificate is for."""
    gateways = tuple(topology.addresses[host] for host in topology.hosts["ceph"])
    if not topology.hosts["ingress"]:
        return gateways
    assert topology.object_store
    # HAProxy's checks verify a name; Quay and clients verify where they reach the ingress.
    return (CONTAINER, *gateways, topology.object_store.address)


def runs_in_container(hosts: tuple[str, ...]) -> bool:
    """Whether the cluster is one container; on several hosts cephadm runs it."""
    return len(hosts) == 1


def runs_cephadm(topology: Topology, host: str) -> bool:
    """Whether cephadm's daemons run on a host."""
    hosts = topology.hosts["ceph"]
    return host in hosts and not runs_in_container(hosts)


def admin_host(topology: Topology) -> str | None:
    """Return the host where Ceph's commands run; None if Quaylab runs no Ceph."""
    return next(iter(topology.hosts["ceph"]), None)


def shell(
    settings: Settings, topology: Topology, credentials: Credentials, engine: ContainerEngine
) -> tuple[str, ...]:
    """Return the words before a command of Ceph on that host, which has this engine."""
    if runs_in_container(topology.hosts["ceph"]):
        return engine.execute_words(CONTAINER)
    # Beside daemons of another cluster cephadm would not know which one is meant.
    cluster = ("--fsid", cluster_id(credentials))
    return ("cephadm", "--image", settings.ceph_image, "shell", *cluster, "--")


def image(settings: Settings) -> Image:
    """Return the image of Ceph's daemons."""
    if settings.uses_packages:
        return packaged_image("ceph", DEBIAN_VERSION)
    return Image(settings.ceph_image, settings.image_source)


def _files(context: Context) -> tuple[ManagedFile, ...]:
    settings, credentials = context.settings, context.credentials
    contents = {
        f"{DIRECTORY}/run-ceph": (SCRIPTS / "run-ceph").read_text(),
        VARIABLES: _cluster(settings, credentials),
        f"{DIRECTORY}/ceph.conf": _configuration(settings, credentials),
    }
    if settings.storage_tls:
        assert credentials.ceph_certificate and credentials.ceph_certificate_key
        contents[f"{DIRECTORY}/tls.crt"] = credentials.ceph_certificate
        contents[f"{DIRECTORY}/tls.key"] = credentials.ceph_certificate_key.get_secret_value()
    # For root only, as the daemons' uid differs between images: run-ceph makes copies for them.
    return tuple(ManagedFile(path, content, mode=0o400) for path, content in contents.items())


def osd_files(settings: Settings) -> tuple[str, ...]:
    """Return the OSDs that are files on the host."""
    return tuple(path for path in settings.ceph_osd_devices if not path.startswith("/dev/"))


def block_devices(settings: Settings) -> tuple[str, ...]:
    """Return the OSDs that are block devices, such as logical volumes."""
    return tuple(path for path in settings.ceph_osd_devices if path.startswith("/dev/"))


def user(settings: Settings, credentials: Credentials) -> dict[str, Any]:
    """Return Quay's user, as Ceph's gateway stores it and reads it from standard input."""
    access, secret = credentials.storage_access_key, credentials.storage_secret_key
    assert access and secret  # made with the plan
    quota = settings.ceph_quota_gb
    swift = credentials.swift_password if settings.ceph_swift else None
    no_quota = {"enabled": False, "check_on_raw": False, "max_size": -1, "max_objects": -1}
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
                # Without it Squid makes an inactive key (RGWAccessKey::decode_json).
                "active": True,
            }
        ],
        "swift_keys": (
            [{"user": SWIFT_USER, "secret_key": swift.get_secret_value(), "active": True}]
            if swift
            else []
        ),
        "caps": [],
        "op_mask": "read, write, delete",
        "default_placement": "",
        "default_storage_class": "",
        "placement_tags": [],
        "bucket_quota": no_quota,
        "user_quota": {**no_quota, "enabled": True, "max_size": quota * GIB} if quota else no_quota,
        "temp_url_keys": [],
        "type": "rgw",
        "mfa_ids": [],
    }


def metadata(user: dict[str, Any]) -> str:
    """Return the input of ``radosgw-admin metadata put user:quay``; ``ver`` is the record's."""
    record = {
        "key": f"user:{user['user_id']}",
        "ver": {"tag": "quaylab", "ver": 1},
        "mtime": "0.000000",
        "data": user,
    }
    return json.dumps(record)


def cluster_id(credentials: Credentials) -> str:
    """Return the cluster's fsid: the same for the same credentials."""
    return str(uuid.UUID(hashlib.sha256(credentials.identity.encode()).hexdigest()[:32]))


def _cluster(settings: Settings, credentials: Credentials) -> str:
    """Return the bash variables that run-ceph reads. An OSD without a device is a file."""
    devices = " ".join(shlex.quote(path) for path in settings.ceph_osd_devices or ("",))
    return (
        f"FSID={cluster_id(credentials)}\nADDRESS={ADDRESS}\n"
        f"OSD_SIZE={settings.ceph_osd_size_gb}G\nDEVICES=({devices})\n"
    )


def _configuration(settings: Settings, credentials: Credentials) -> str:
    """Return ceph.conf of one host: one copy of all data, little memory, errors on stderr."""
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
osd_memory_target = {(settings.ceph_osd_memory_mb or OSD_MEMORY_MB) * 1024**2}
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
