"""The parts that run as containers: their files, their volume and their specification."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from quaylab.containers import CREDENTIALS_LABEL, Container, Mount, PublishedPort
from quaylab.files import ManagedFile
from quaylab.images import Image, database_image, quay_image, redis_image
from quaylab.paths import ETC
from quaylab.secrets.certificates import ServerCertificate
from quaylab.secrets.credentials import Credentials
from quaylab.services import quay_config, quay_programs
from quaylab.services.object_storage import MOUNT
from quaylab.settings import Settings
from quaylab.topology import DATABASE_PORTS, REDIS_PORT, Topology, container_name
from quaylab.versions import is_legacy, quay_version

ENVIRONMENT = "environment"
EVERYWHERE = "0.0.0.0"
STORAGE_VOLUME = "quaylab-quay-storage"
DATA_LABEL = "io.quaylab.data"
PATH_LABEL = "io.quaylab.path"
REGISTRY_LABEL = "io.quaylab.registry"
# Whether a service refuses its own password, and for no other reason. PostgreSQL is asked by the
# container's own address, as sclorg's images trust whoever comes from loopback; and Redis without
# its client, of which older ones take a password as an argument only.
POSTGRESQL_REFUSES = (
    "PGCONNECT_TIMEOUT=5 PGPASSWORD=$POSTGRESQL_PASSWORD psql --no-psqlrc --no-password "
    "--host=$HOSTNAME --username=$POSTGRESQL_USER --dbname=$POSTGRESQL_DATABASE --command=SELECT "
    "2>&1 | grep -q 'password authentication failed'"
)
MYSQL_REFUSES = (
    "MYSQL_PWD=$MYSQL_PASSWORD mysqladmin --host=127.0.0.1 --user=$MYSQL_USER --connect-timeout=5 "
    "status 2>&1 | grep -q 'Access denied'"
)
REDIS_REFUSES = (
    f"LC_ALL=C; exec 3<>/dev/tcp/127.0.0.1/{REDIS_PORT} && "
    r"""printf '*2\r\n$4\r\nAUTH\r\n$%s\r\n%s\r\n' ${#REDIS_PASSWORD} "$REDIS_PASSWORD" >&3 && """
    "read -t 5 -r answer <&3 && [[ $answer == -*password* ]]"
)
POSTGRESQL_UID, MYSQL_UID, REDIS_UID, QUAY_UID = 26, 27, 1001, 1001


@dataclass(frozen=True)
class Volume:
    """A data volume; ``path`` is the host directory that holds it, None: the engine's own."""

    name: str
    path: str | None
    uid: int
    labels: Mapping[str, str]

    @property
    def device(self) -> str | None:
        """The directory that the volume is. It lies in ``path``, which may be the mount point of a
        disk: while that is not mounted there is no such directory, and no container starts."""
        return f"{self.path}/{self.name}" if self.path else None

    def create_arguments(self) -> list[str]:
        """The arguments of ``docker volume create``."""
        labels = [f"--label={name}={value}" for name, value in sorted(self.labels.items())]
        options = (
            ["--opt=type=none", "--opt=o=bind", f"--opt=device={self.device}"] if self.path else []
        )
        return [*options, *labels, self.name]


# Measured on v3.18.0; it is the processors' speed that decides.
QUAY_INTERRUPTION = (
    "until it is healthy again, in half a minute to two minutes, clients find no registry; docker "
    "push and pull give up sooner"
)
# Told to end, supervisord stops one service after the other, about a second each; so all at once.
QUAY_STOP = "supervisorctl -c $QUAYCONF/supervisord.conf stop all"


@dataclass(frozen=True)
class Part:
    """All that one host needs to run one part.

    ``password_refused`` is a shell command that succeeds inside the container if the service
    refuses the password that it was started with; empty if it is not to be asked. ``interruption``
    is what its clients meet while its container is another one or starts again, and
    ``before_stop`` a shell command inside that makes this shorter.
    """

    image: Image
    files: tuple[ManagedFile, ...]
    volume: Volume | None
    container: Container
    password_refused: str = ""
    interruption: str = ""
    before_stop: str = ""


def database(settings: Settings, topology: Topology, credentials: Credentials) -> Part:
    """PostgreSQL or MySQL, by the contract that sclorg's images and ours share."""
    image = database_image(settings)
    postgresql = settings.database_engine == "postgresql"
    uid = POSTGRESQL_UID if postgresql else MYSQL_UID
    prefix = "POSTGRESQL" if postgresql else "MYSQL"
    environment = _environment(
        "database",
        uid,
        {
            f"{prefix}_USER": settings.database_user,
            f"{prefix}_PASSWORD": credentials.database_password.get_secret_value(),
            f"{prefix}_DATABASE": settings.database_name,
        },
    )
    name = container_name("database")
    return Part(
        image,
        (environment,),
        Volume(
            name,
            settings.database_data,
            uid,
            volume_labels(settings, credentials, data_kind(settings), settings.database_data),
        ),
        Container(
            name=name,
            image=image.reference,
            version=image.reference.rpartition(":")[2],
            owner=credentials.fingerprint,
            command=_with_environment("run-postgresql" if postgresql else "run-mysqld"),
            # By TCP: while the data is initialised the server listens on its socket only.
            health=(
                "bash -c 'pg_isready --quiet --host=127.0.0.1'"
                if postgresql
                else "bash -c 'mysqladmin --host=127.0.0.1 ping'"
            ),
            ports=_published(
                DATABASE_PORTS[settings.database_engine],
                topology.database.probe_port,
                topology.database.listen,
            ),
            mounts=(
                _configuration("database"),
                Mount(name, "/var/lib/pgsql/data" if postgresql else "/var/lib/mysql/data"),
            ),
            files=digests(environment),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            # PostgreSQL waits for Quay's connection pool before it stops.
            stop_timeout=60,
        ),
        _in_environment(POSTGRESQL_REFUSES if postgresql else MYSQL_REFUSES),
    )


def redis(settings: Settings, topology: Topology, credentials: Credentials) -> Part:
    """Redis with a password; what it holds may be lost."""
    image = redis_image(settings)
    environment = _environment(
        "redis",
        REDIS_UID,
        {"REDIS_PASSWORD": credentials.redis_password.get_secret_value()},
    )
    return Part(
        image,
        (environment,),
        None,
        Container(
            name=container_name("redis"),
            image=image.reference,
            version=image.reference.rpartition(":")[2],
            owner=credentials.fingerprint,
            command=_with_environment("run-redis"),
            # Without its password it answers NOAUTH, and that is an answer.
            health="redis-cli -h 127.0.0.1 ping | grep -qE 'PONG|NOAUTH'",
            ports=_published(REDIS_PORT, topology.redis.probe_port, topology.redis.listen),
            mounts=(_configuration("redis"),),
            files=digests(environment),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
        ),
        _in_environment(REDIS_REFUSES),
    )


def quay(
    settings: Settings,
    topology: Topology,
    credentials: Credentials,
    certificate: ServerCertificate,
    memory_mb: int,
) -> Part:
    """Quay 3, or the seed's 2.9, which has another contract."""
    if is_legacy(quay_version(settings)):
        return _legacy_quay(settings, credentials)
    image = quay_image(settings)
    directory = f"{ETC}/quay"
    config = quay_config.build(settings, topology, credentials)
    bundle = {
        "config.yaml": quay_config.render(config),
        "ssl.cert": certificate.certificate,
        "ssl.key": certificate.key.get_secret_value(),
    }
    for name, authority in (("company", settings.company_ca), ("storage", settings.storage_ca)):
        if authority:
            bundle[f"extra_ca_certs/{name}.crt"] = authority.read_text()
    if topology.ceph and credentials.ca_certificate:
        bundle["extra_ca_certs/lab.crt"] = credentials.ca_certificate
    if settings.database_ca:
        bundle[quay_config.DATABASE_CA] = settings.database_ca.read_text()
    if settings.redis_ca:
        bundle[quay_config.REDIS_CA] = settings.redis_ca.read_text()
    files = tuple(
        ManagedFile(f"{directory}/{name}", content, uid=QUAY_UID, mode=0o600)
        for name, content in bundle.items()
    )
    workers = str(settings.quay_workers or quay_config.workers(memory_mb))
    return Part(
        image,
        files,
        None if topology.store else _storage(settings, credentials, QUAY_UID),
        Container(
            name=container_name("quay"),
            image=image.reference,
            version=quay_version(settings),
            owner=credentials.fingerprint,
            # The schema is migrated once, by the leader, before any node starts.
            command=("registry-nomigrate",),
            environment=(
                ("WORKER_COUNT", workers),
                # Quay takes fewer than its own minimum only with this.
                ("WORKER_COUNT_UNSUPPORTED_MINIMUM", workers),
                ("QUAY_OVERRIDE_SERVICES", quay_programs.overrides(config)),
                *_proxy(settings, topology),
            ),
            health=(
                "curl --fail --silent --insecure --output /dev/null "
                "https://127.0.0.1:8443/health/instance"
            ),
            # Each answer is 13 lines in Quay's log. A deploy asks by itself, and does not wait.
            health_interval=30,
            ports=(
                PublishedPort(8443, settings.quay_https_port, EVERYWHERE),
                *_redirect(settings),
            ),
            mounts=(
                Mount(directory, "/conf/stack", read_only=True),
                *(() if topology.store else (Mount(STORAGE_VOLUME, MOUNT),)),
            ),
            files=digests(*files),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            # Measured: 36 s for the core services; Docker's own 10 s end in a kill.
            stop_timeout=90,
        ),
        interruption=QUAY_INTERRUPTION,
        before_stop=QUAY_STOP,
    )


def _redirect(settings: Settings) -> tuple[PublishedPort, ...]:
    """Quay's http, which redirects to port 443 whatever the registry's port is."""
    if settings.quay_https_port != 443:
        return ()
    return (PublishedPort(8080, settings.quay_http_port, EVERYWHERE),)


def _legacy_quay(settings: Settings, credentials: Credentials) -> Part:
    """Quay 2.9: privileged, set up by hand in the browser, which writes the bundle itself."""
    image = quay_image(settings)
    license_file = settings.quay_license
    files = (
        (ManagedFile(f"{ETC}/quay/license", license_file.read_text(), mode=0o600),)
        if license_file
        else ()
    )
    return Part(
        image,
        files,
        _storage(settings, credentials, 0),
        Container(
            name=container_name("quay"),
            image=image.reference,
            version=quay_version(settings),
            owner=credentials.fingerprint,
            health="",
            ports=(
                PublishedPort(443, settings.quay_https_port, EVERYWHERE),
                PublishedPort(80, settings.quay_http_port, EVERYWHERE),
            ),
            mounts=(Mount(f"{ETC}/quay", "/conf/stack"), Mount(STORAGE_VOLUME, MOUNT)),
            files=digests(*files),
            log_size=settings.container_log_size,
            log_files=settings.container_log_files,
            stop_timeout=90,
            privileged=True,
        ),
    )


def data_kind(settings: Settings) -> str:
    """What a database volume holds, such as ``postgresql-15-c9s``: an engine and its version."""
    name = database_image(settings).reference.rpartition("/")[2]
    repository, _, tag = name.partition(":")
    # sclorg's repositories tell the version (postgresql-15-c9s), others' tags do (postgres:15.4).
    if any(character.isdigit() for character in repository):
        return repository
    # A minor release of PostgreSQL (15.4) reads its major's data, one of MySQL (8.0) doesn't.
    numbers = tag.partition("-")[0].split(".")
    major = numbers[:1] if settings.database_engine == "postgresql" else numbers[:2]
    return f"{repository}-{'.'.join(major)}"


def _storage(settings: Settings, credentials: Credentials, uid: int) -> Volume:
    path = settings.quay_storage_path
    labels = volume_labels(settings, credentials, "quay-storage", path)
    return Volume(STORAGE_VOLUME, path, uid, labels)


def volume_labels(
    settings: Settings, credentials: Credentials, data: str, path: str | None
) -> dict[str, str]:
    """What a data volume bears; checks/host_reports.py refuses a run that it doesn't fit."""
    return {
        DATA_LABEL: data,
        PATH_LABEL: path or "",
        CREDENTIALS_LABEL: credentials.fingerprint,
        REGISTRY_LABEL: "stand-in" if settings.image_source == "packages" else "quay",
    }


def _environment(part: str, uid: int, values: Mapping[str, str]) -> ManagedFile:
    """A shell file that the container reads, so that argv and `docker inspect` hold no secret."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
    return ManagedFile(f"{ETC}/{part}/{ENVIRONMENT}", lines, uid=uid, mode=0o400)


def _with_environment(command: str) -> tuple[str, ...]:
    return ("bash", "-c", f"set -a && . {ETC}/{ENVIRONMENT} && set +a && exec {command}")


def _in_environment(script: str) -> str:
    return f"bash -c {shlex.quote(f'. {ETC}/{ENVIRONMENT}; {script}')}"


def _configuration(part: str) -> Mount:
    return Mount(f"{ETC}/{part}", ETC, read_only=True)


def _published(inside: int, outside: int, listen: str | None) -> tuple[PublishedPort, ...]:
    return (PublishedPort(inside, outside, listen),) if listen else ()


def digests(*files: ManagedFile) -> tuple[tuple[str, str], ...]:
    return tuple((file.path, file.sha256) for file in files)


def _proxy(settings: Settings, topology: Topology) -> tuple[tuple[str, str], ...]:
    """Proxy variables for Quay's outgoing requests (mirroring, storage), never to its own parts."""
    own = [topology.hostname, topology.database.address, topology.redis.address]
    if topology.store and topology.store.host:
        own.append(topology.store.address)
    spared = ",".join(filter(None, ("127.0.0.1", "localhost", *own, settings.no_proxy)))
    values = {"HTTP_PROXY": settings.http_proxy, "HTTPS_PROXY": settings.https_proxy}
    given = tuple((name, value) for name, value in values.items() if value)
    return (*given, ("NO_PROXY", spared)) if given else ()
