"""Quay 3, and Quay 2.9, which is configured differently."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, SecretStr

from quaylab.images import Image, packaged_image
from quaylab.model import (
    EVERYWHERE,
    Container,
    ManagedFile,
    Mount,
    PublishedPort,
    Volume,
    container_name,
    digests,
)
from quaylab.paths import ETC, SCRIPTS, STORAGE_NOTE
from quaylab.secrets import making
from quaylab.secrets.passwords import QUAY_USER
from quaylab.services import database, quay_config, quay_programs
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
from quaylab.services.object_store import MOUNT, kind
from quaylab.services.quay_nodes import MAX_CONTAINERS, Node, nodes
from quaylab.settings.plain_data import ConfigKeys
from quaylab.settings.types import (
    Email,
    HostName,
    HostPath,
    LocalFile,
    PortNumber,
    Repository,
    Section,
    UserName,
    Version,
)
from quaylab.versions import is_legacy, parse, problems, quay_version

if TYPE_CHECKING:
    from quaylab.hosts.machine import Machine
    from quaylab.settings.loading import Settings

DIRECTORY = f"{ETC}/quay"
STORAGE_VOLUME = "quaylab-quay-storage"
STANDIN = "quay-standin"
UID = 1001
# Where a machine at AWS asks for the keys of its role. No proxy knows them.
INSTANCE_METADATA = "169.254.169.254"
# Its ports inside the container.
HTTPS_PORT, HTTP_PORT = 8443, 8080
LAST_PORT = 65535
HEALTH_URL = f"https://127.0.0.1:{HTTPS_PORT}/health/instance"
HEALTH = f"curl --fail --silent --insecure --output /dev/null {HEALTH_URL}"
# Measured on v3.18.0; the time depends on the processors' speed.
INTERRUPTION = (
    "until it is healthy again, in half a minute to two minutes, clients find no registry; docker "
    "push and pull give up sooner"
)
# Seconds until it is killed. Measured on machines: 36 s for the core programs.
STOP_TIMEOUT = 90
# At a stop supervisord ends its programs one by one, about a second each; this ends all at once.
STOP_PROGRAMS = "supervisorctl -c $QUAYCONF/supervisord.conf stop all"
# From this version on Quay takes a lock in Redis for each blob that it stores, over a connection
# that its workers share: of uploads that end at once some wait for 25 to 62 s (measured).
SHARES_CONNECTION = (3, 17, 3)
# MB of memory that a host needs, and with the database on it.
MEMORY, MEMORY_WITH_DATABASE = 4096, 8192


class QuaySettings(Section):
    """The registry: its name, its ports, its superuser."""

    server_hostname: HostName | None = Field(
        description="The registry's public name; None: the Quay host's inventory name if that is a "
        "full DNS name, else quay.quaylab.lan",
    )
    quay_https_port: PortNumber = Field(
        description="Port of the registry: on Quay's host, or on the balancers if there are some"
    )
    quay_http_port: PortNumber = Field(
        description="Port of the redirect from http to https; without a balancer it is published "
        "only if quay_https_port is 443, because Quay redirects to 443"
    )
    quay_node_port: PortNumber = Field(
        description="Port of Quay on its hosts behind balancers; a host's second container has the "
        "next one"
    )
    quay_instances: int = Field(
        ge=1,
        le=MAX_CONTAINERS,
        description="Quay containers on each Quay host; behind a balancer two of them let an "
        "upgrade of one host lose no request",
    )
    quay_version: Version | None = Field(
        description="Quay's version, which is its image's tag; None: v3.18.0, with MySQL v3.16.5",
    )
    quay_image: Repository = Field(description="Quay's image without its tag")
    quay_superuser: UserName = Field(
        description="Name of Quay's first user, who is its superuser",
    )
    quay_superuser_email: Email = Field(description="The superuser's mail address")
    quay_storage_path: HostPath | None = Field(
        description="Directory on the Quay host for the images' blobs; None: a named volume",
    )
    quay_workers: int | None = Field(
        ge=1,
        le=64,
        description="Workers of each kind (WORKER_COUNT); None: as many as fit the memory",
    )
    quay_config: ConfigKeys = Field(
        repr=False,  # it may have a password of somebody else's
        description="Further keys of Quay's config.yaml, such as FEATURE_PROXY_CACHE",
    )
    quay_license: LocalFile | None = Field(
        description="Quay's license file on this machine; only Quay 2.9 takes one"
    )
    minimum_cpus: int = Field(ge=1, le=1024, description="Processors that a Quay host needs")
    minimum_memory_mb: int | None = Field(
        ge=256,
        le=16777216,
        description="MB of memory that a Quay host needs; None: 4096, with the database on it 8192",
    )


class QuaySecrets(BaseModel):
    superuser_password: SecretStr = Field(min_length=8)
    # Passwords that Quay may still have, the likeliest first, until the new one is confirmed: a run
    # may be killed before Quay gets a password, or before that is recorded here.
    superuser_passwords_before: tuple[SecretStr, ...] = ()
    # Whether a rotation has begun, and Quay is not known to have the new password.
    rotation_begun: bool = False
    # Passwords that Quay had, the latest first: a restored dump brings one of them back.
    superuser_passwords_retired: tuple[SecretStr, ...] = ()
    # Quay takes at most 63 characters.
    database_secret_key: SecretStr = Field(max_length=63)
    secret_key: SecretStr


class Quay(Service):
    name = "quay"
    title = "Quay"
    secrets = (
        Secret("superuser_password", rule=QUAY_USER),
        Secret("database_secret_key", make=making.encryption_key, is_permanent=True),
        Secret("secret_key", make=making.encryption_key, is_permanent=True),
    )
    directories = ("quay_storage_path",)

    def setting_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        yield from problems(settings)
        yield from quay_config.setting_problems(settings)
        if settings.quay_http_port == settings.quay_https_port:
            yield f"quay_http_port: {settings.quay_http_port} is quay_https_port too; take another"
        if settings.quay_instances > 1 and not groups["balancer"]:
            yield (
                f"quay_instances: {settings.quay_instances} containers on a host need a balancer "
                "in front of them; put a host into group `balancer`, which may be the same one; in "
                "a cluster set openshift_replicas instead"
            )
        last = settings.quay_node_port + settings.quay_instances - 1
        if last > LAST_PORT:
            yield (
                f"quay_node_port: {settings.quay_node_port} with {settings.quay_instances} "
                f"containers on a host would need port {last}; set one of at most "
                f"{LAST_PORT + 1 - settings.quay_instances}"
            )
        if groups["balancer"] and is_legacy(quay_version(settings)):
            yield (
                "quay_version: Quay 2.9 runs without a balancer; leave the group `balancer` out, "
                "or set a newer version"
            )

    def needs(self, settings: Settings, groups: Groups) -> Iterator[Need]:
        # Of Quay 2.9 no run creates or changes the user.
        is_rotated = not is_legacy(quay_version(settings))
        yield Need("superuser_password", Maker.QUAYLAB, is_rotated=is_rotated)
        for secret in self.secrets:
            if secret.is_permanent:
                yield Need(secret.key, Maker.QUAYLAB, is_rotated=False)

    def placement_problems(self, settings: Settings, groups: Groups) -> Iterator[str]:
        hosts = groups["quay"]
        if not hosts:
            yield "quay: no host in group `quay`; name the registry's host in the inventory"
        if len(hosts) > 1 and kind(settings, groups) == "local":
            yield (
                f"quay: {len(hosts)} hosts in group `quay`, but the blobs are in a volume, which "
                "only one host has; set `storage` to an object store, or keep one host"
            )
        if len(hosts) > 1 and not (groups["balancer"] or settings.balancer_host):
            yield (
                f"quay: {len(hosts)} hosts in group `quay`, and nothing sends clients to them all; "
                "put hosts into group `balancer`, set balancer_host to one that runs elsewhere, or "
                "keep one host"
            )

    def ports(self, context: Context, host: str) -> tuple[Port, ...]:
        return tuple(
            port
            for node in nodes(context.settings, context.topology)
            if node.host == host
            for port in self._node_ports(context, node)
        )

    def _node_ports(self, context: Context, node: Node) -> tuple[Port, ...]:
        if context.topology.balancers:
            published = PublishedPort(HTTPS_PORT, node.port, node.address)
            return (Port(published, "quay_node_port", Audience.BALANCERS),)
        settings = context.settings
        https, http = settings.quay_https_port, settings.quay_http_port
        inside = {"quay_https_port": (HTTPS_PORT, https), "quay_http_port": (HTTP_PORT, http)}
        if is_legacy(quay_version(settings)):
            inside = {"quay_https_port": (443, https), "quay_http_port": (80, http)}
        elif https != 443:
            # Quay's http redirects to port 443 whatever the registry's port is.
            del inside["quay_http_port"]
        return tuple(
            Port(PublishedPort(within, outside, EVERYWHERE), setting, Audience.EVERYBODY)
            for setting, (within, outside) in inside.items()
        )

    def workloads(self, context: Context, host: str) -> tuple[Workload, ...]:
        if is_legacy(quay_version(context.settings)):
            return (self._legacy(context, host),)
        settings, store = context.settings, context.topology.object_store
        config = quay_config.build(settings, context.topology, context.credentials)
        files = tuple(
            ManagedFile(f"{DIRECTORY}/{name}", content, uid=UID, mode=0o600)
            for name, content in bundle(context, config).items()
        )
        all_nodes = nodes(settings, context.topology)
        memory = context.machines[host].memory_mb // settings.quay_instances
        wanted = image(settings)
        return tuple(
            Workload(
                self.name,
                wanted,
                files,
                None if store else _storage(context, UID),
                Container(
                    name=node.container,
                    image=wanted.reference,
                    version=quay_version(settings),
                    owner=context.credentials.fingerprint,
                    # The schema is migrated once, by one host, before any node starts.
                    command=("registry-nomigrate",),
                    environment=environment(context, config, memory),
                    health=HEALTH,
                    # Each check adds 13 lines to Quay's log. A deploy runs the check itself.
                    health_interval=30,
                    ports=tuple(port.published for port in self._node_ports(context, node)),
                    mounts=(
                        Mount(DIRECTORY, "/conf/stack", read_only=True),
                        *(() if store else (Mount(STORAGE_VOLUME, MOUNT),)),
                    ),
                    files=digests(*files),
                    log_size=settings.container_log_size,
                    log_files=settings.container_log_files,
                    # Measured: 36 s for the core programs; Docker's own 10 s end in a kill.
                    stop_timeout=STOP_TIMEOUT,
                ),
                interruption="" if self._is_replaced_unnoticed(context) else INTERRUPTION,
                when_healthy=close_shared_connections(quay_version(settings)),
                before_stop=STOP_PROGRAMS,
                starts_with_low_shares=context.is_balanced,
            )
            for node in all_nodes
            if node.host == host
        )

    def _is_replaced_unnoticed(self, context: Context) -> bool:
        """Whether others serve while a node is replaced: a balancer elsewhere notices it late, and
        a new one of ours runs only after the nodes."""
        balancer = container_name("balancer")
        return len(nodes(context.settings, context.topology)) > 1 and any(
            balancer in context.machines[host].state.containers
            for host in context.connected(context.topology.balancers)
        )

    def _legacy(self, context: Context, host: str) -> Workload:
        """Return Quay 2.9: privileged, and set up in its web page, which writes the bundle."""
        settings, wanted = context.settings, image(context.settings)
        files = (
            (ManagedFile(f"{DIRECTORY}/license", settings.quay_license.read_text(), mode=0o600),)
            if settings.quay_license
            else ()
        )
        container = Container(
            name=container_name(self.name),
            image=wanted.reference,
            version=quay_version(settings),
            owner=context.credentials.fingerprint,
            health="",
            ports=tuple(port.published for port in self.ports(context, host)),
            mounts=(Mount(DIRECTORY, "/conf/stack"), Mount(STORAGE_VOLUME, MOUNT)),
            files=digests(*files),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            stop_timeout=STOP_TIMEOUT,
            privileged=True,
        )
        return Workload(self.name, wanted, files, _storage(context, 0), container)

    def problems(self, context: Context) -> Iterator[str]:
        settings, with_database = context.settings, context.topology.hosts["database"]
        for host in context.topology.quay:
            if not (machine := context.machines.get(host)):
                continue
            if machine.cpus < settings.minimum_cpus:
                yield (
                    f"minimum_cpus: {host} has {machine.cpus}, and {settings.minimum_cpus} are "
                    "needed; give it more, or set minimum_cpus lower"
                )
            usual = MEMORY_WITH_DATABASE if host in with_database else MEMORY
            needed = settings.minimum_memory_mb or usual
            # A machine of 8 GB reports up to half a gigabyte less: the kernel's own is not counted.
            if machine.memory_mb < needed - needed // 16:
                yield (
                    f"minimum_memory_mb: {host} has {machine.memory_mb} MB, and {needed} MB "
                    "are needed; give it more, or set minimum_memory_mb lower"
                )

    def data_note(self, quay: Machine) -> str | None:
        return STORAGE_NOTE if quay.blob_store == "local" else None


def close_shared_connections(version: str) -> str:
    """Return the command that has each worker of a Quay that has just started open a connection to
    Redis of its own; empty if this version needs none."""
    if parse(version) < SHARES_CONNECTION:
        return ""
    return shlex.join(["python3", "-c", (SCRIPTS / "close_shared_connections.py").read_text()])


def image(settings: Settings) -> Image:
    """Return Quay's image, or that of its stand-in where only packages may be used."""
    version = quay_version(settings)
    if settings.uses_packages:
        return packaged_image("quay", version, STANDIN, {"QUAY_VERSION": version})
    return Image(f"{settings.quay_image}:{version}", settings.image_source)


def environment(
    context: Context, config: Mapping[str, Any], memory_mb: int
) -> tuple[tuple[str, str], ...]:
    """Return the variables of a container of Quay's.

    Args:
        config: its config.yaml.
        memory_mb: the memory that its workers have to fit.
    """
    workers = str(context.settings.quay_workers or quay_config.workers(memory_mb))
    return (
        ("WORKER_COUNT", workers),
        # Quay takes fewer than its own minimum only with this.
        ("WORKER_COUNT_UNSUPPORTED_MINIMUM", workers),
        ("QUAY_OVERRIDE_SERVICES", quay_programs.overrides(config)),
        *_proxy(context),
    )


def bundle(context: Context, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the contents of the files in ``/conf/stack``, by file name."""
    settings, credentials = context.settings, context.credentials
    files = {
        "config.yaml": quay_config.render(config),
        "ssl.cert": context.node_certificate.certificate,
        "ssl.key": context.node_certificate.key.get_secret_value(),
    }
    for name, authority in (("company", settings.company_ca), ("storage", settings.storage_ca)):
        if authority:
            files[f"extra_ca_certs/{name}.crt"] = authority.read_text()
    # Mirroring pushes to the registry's own address, and Ceph's gateways have the CA as well.
    trusts_own = context.topology.hosts["ceph"] or any(map(config.get, quay_programs.MIRRORING))
    if trusts_own and credentials.ca_certificate:
        files["extra_ca_certs/lab.crt"] = credentials.ca_certificate
    if trusted := database.authority(settings, context.topology, credentials):
        files[quay_config.DATABASE_CA] = trusted
    if settings.redis_ca:
        files[quay_config.REDIS_CA] = settings.redis_ca.read_text()
    return files


def _storage(context: Context, uid: int) -> Volume:
    path = context.settings.quay_storage_path
    return Volume(
        "quay",
        STORAGE_VOLUME,
        path,
        uid,
        volume_labels(context, "quay-storage", path),
        setting="quay_storage_path",
        purpose="Quay's blobs",
        may_be_empty=True,
    )


def _proxy(context: Context) -> tuple[tuple[str, str], ...]:
    """Return Quay's proxy variables; the registry's own services are reached without a proxy."""
    settings, topology = context.settings, context.topology
    if settings.no_proxy == "*":
        return ()  # Python would not understand it beside our own
    internal = [topology.hostname, topology.database.address, topology.redis.address]
    if topology.object_store and not topology.object_store.is_elsewhere:
        internal.append(topology.object_store.address)
    if settings.storage_iam_role:
        internal.append(INSTANCE_METADATA)
    no_proxy = ",".join(filter(None, ("127.0.0.1", "localhost", *internal, settings.no_proxy)))
    values = {"HTTP_PROXY": settings.http_proxy, "HTTPS_PROXY": settings.https_proxy}
    variables = tuple((name, value) for name, value in values.items() if value)
    return (*variables, ("NO_PROXY", no_proxy)) if variables else ()
