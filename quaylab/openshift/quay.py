"""Quay in the cluster: its bundle, its pods, and the jobs that run before them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quaylab.model import container_name
from quaylab.openshift import backing
from quaylab.openshift.layout import is_known_inside, replicas, runs_here
from quaylab.openshift.objects import (
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    JOB,
    SECRET,
    SERVICE_ACCOUNT,
    Object,
    Scope,
    secret_data,
)
from quaylab.openshift.pods import (
    ACCOUNT,
    PULL_SECRET,
    Pods,
    container,
    environment,
    resources,
    secret_environment,
    shell,
)
from quaylab.paths import SCRIPTS
from quaylab.services import database, quay, quay_config, quay_connections
from quaylab.services.base import Context
from quaylab.services.object_store import MOUNT
from quaylab.versions import quay_version

NAME = container_name("quay")
COMPONENT = "quay"
# What the jobs do that change the database's content.
MIGRATE, RESTORE = "migrate", "restore"
BUNDLE, BLOBS = f"{NAME}-bundle", quay.STORAGE_VOLUME
# Seconds of each look whether Quay has started. It ends itself before the kubelet's own time for it
# is over, after which some container engines leave its processes running.
STARTED = 8
READY = {"httpGet": {"path": "/health/instance", "port": "https", "scheme": "HTTPS"}}
# Quay's end cuts the replies that it has begun, and for some seconds others still send requests
# here. So it waits until the endpoints have forgotten the pod, and then, at most a minute, for the
# connections at its port, which /proc shows in hexadecimal digits.
FORGOTTEN, DRAINED = 15, 60
BEFORE_STOP = (
    f"sleep {FORGOTTEN}; for second in {{1..{DRAINED}}}; do "
    f"grep -qsE ':{quay.HTTPS_PORT:04X} [0-9A-F]+:[0-9A-F]{{4}} 01 ' /proc/net/tcp /proc/net/tcp6 "
    "|| break; sleep 1; done"
)
# As Quay's role, which owns the database: pg_trgm is a trusted extension since PostgreSQL 13.
# When all objects are made at once, by the template, the server may still fetch its image.
EXTENSION = (
    "timeout 300 bash -c 'until pg_isready --quiet; do sleep 1; done'; "
    "psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "
    "--command='CREATE EXTENSION IF NOT EXISTS pg_trgm'"
)
# Renamed last, so that a dump with this name is whole.
DUMP = (
    'cd /dumps && pg_dump --format=custom --file="$0.new" && '
    'pg_restore --list "$0.new" >/dev/null && sync "$0.new" && mv "$0.new" "$0" && ls -l "$0"'
)


# Whether a dump is there and whole, as far as its table of contents says. The log then has the
# revision of its schema, by which people see whether a restore that was cut off has ended.
CHECK = (
    'cd /dumps && { pg_restore --data-only --table=alembic_version --file=- "$0" && exit; '
    'echo "$0 is no dump that can be restored; the claim has: $(ls -m)"; exit 1; }'
)
# In one transaction, so that a killed one changes nothing. What a newer version made is dropped
# first: with it, the next upgrade's migrations would fail.
RESTORATION = (
    'cd /dumps && set -o pipefail && { echo "BEGIN; DROP OWNED BY CURRENT_USER CASCADE;" && '
    'pg_restore --no-owner --file=- "$0" && echo "COMMIT;"; } | '
    "psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null"
)


def service_account() -> Object:
    content = {"automountServiceAccountToken": False}
    return Object(SERVICE_ACCOUNT, ACCOUNT, content, COMPONENT)


def pull_secret(logins: Mapping[str, Any]) -> Object:
    """Return the Secret with the logins of a config.json, by registry."""
    values = {".dockerconfigjson": json.dumps({"auths": logins}, sort_keys=True)}
    content = {"type": "kubernetes.io/dockerconfigjson", "data": secret_data(values)}
    return Object(SECRET, PULL_SECRET, content, COMPONENT)


def bundle(files: Mapping[str, str]) -> Object:
    """Return the Secret with the files of ``/conf/stack``."""
    values = {_key(name): content for name, content in files.items()}
    return Object(SECRET, BUNDLE, {"type": "Opaque", "data": secret_data(values)}, COMPONENT)


def _key(path: str) -> str:
    """Return a file's key in the Secret, which can't have a slash."""
    return path.replace("/", "_")


def _bundle_volume(files: Mapping[str, str]) -> dict[str, Any]:
    items = [{"key": _key(path), "path": path} for path in sorted(files)]
    # Quay's user is in the group root, which owns the files.
    return {
        "name": "bundle",
        "secret": {"secretName": BUNDLE, "items": items, "defaultMode": 0o440},
    }


# In a cluster Quay doesn't start without a token of the API, and never uses it (measured on v3.17.4
# and v3.18.0: util/config/provider/k8sprovider.py). So it gets a file with the pod's name instead.
_TOKEN_VOLUME = {
    "name": "token",
    "downwardAPI": {"items": [{"path": "token", "fieldRef": {"fieldPath": "metadata.name"}}]},
}
_BUNDLE_MOUNT = {"name": "bundle", "mountPath": "/conf/stack", "readOnly": True}
_MOUNTS: tuple[dict[str, Any], ...] = (
    _BUNDLE_MOUNT,
    {
        "name": "token",
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "readOnly": True,
    },
)


def _started(version: str) -> str:
    """Return the script that fails until Quay is healthy, and then closes the connection that its
    workers share."""
    # The whole script has STARTED seconds.
    health, close = f"timeout 3 {quay.HEALTH}", quay.close_shared_connections(version)
    return f"{health} || exit 1; {close} || :" if close else health


def deployment(context: Context, pods: Pods, files: Mapping[str, str]) -> Object:
    """Return Quay's pods, which are replaced one by one while the others serve."""
    settings, topology = context.settings, context.topology
    config = quay_config.build(settings, topology, context.credentials)
    memory = settings.openshift_memory_mb
    # Half of a machine's memory is for other services; of a pod's, none is.
    variables = dict(quay.environment(context, config, 2 * memory))
    blobs = [] if topology.object_store else [{"name": "blobs", "mountPath": MOUNT}]
    volumes = [] if topology.object_store else [_claimed("blobs", BLOBS)]
    server = container(
        "quay",
        quay.image(settings).reference,
        # The schema is migrated once, by a job, before any pod starts.
        args=["registry-nomigrate"],
        env=environment(variables),
        ports=[{"name": "https", "containerPort": quay.HTTPS_PORT, "protocol": "TCP"}],
        volumeMounts=[*_MOUNTS, *blobs],
        resources=resources("500m", memory),
        # Before clients come. A run complains of a slow start by itself after `health_timeout`; the
        # kubelet kills it much later, or else it would kill it again and again without any run.
        startupProbe={
            "exec": {
                "command": ["timeout", str(STARTED), *shell(_started(quay_version(settings)))]
            },
            "periodSeconds": 5,
            "timeoutSeconds": STARTED + 2,
            "failureThreshold": -(-3 * settings.health_timeout // 5),
        },
        # Each check adds 13 lines to Quay's log.
        readinessProbe={**READY, "periodSeconds": 10, "timeoutSeconds": 10},
        lifecycle={"preStop": {"exec": {"command": shell(BEFORE_STOP)}}},
    )
    spec = {
        "terminationGracePeriodSeconds": FORGOTTEN + DRAINED + quay.STOP_TIMEOUT,
        "affinity": _apart(pods.scope),
        "containers": [server],
        "volumes": [_bundle_volume(files), _TOKEN_VOLUME, *volumes],
    }
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    content = {
        "spec": {
            "replicas": replicas(settings, topology),
            # A volume serves only one pod.
            "strategy": rolling if topology.object_store else {"type": "Recreate"},
            "progressDeadlineSeconds": settings.health_timeout,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": pods.scope.selector(COMPONENT)},
            "template": pods.template(COMPONENT, spec, dict(files)),
        }
    }
    return Object(DEPLOYMENT, NAME, content, COMPONENT)


def disruption_budget(scope: Scope, evicts_unready: bool) -> Object:
    """Return the promise that a drained node takes one pod at a time.

    Args:
        evicts_unready: whether pods that are not ready may go in any case. While the database is
            away none is ready, and none could leave its node.
    """
    spec: dict[str, Any] = {
        "maxUnavailable": 1,
        "selector": {"matchLabels": scope.selector(COMPONENT)},
    }
    if evicts_unready:
        spec["unhealthyPodEvictionPolicy"] = "AlwaysAllow"
    return Object(DISRUPTION_BUDGET, NAME, {"spec": spec}, COMPONENT)


def _apart(scope: Scope) -> dict[str, Any]:
    """Return the wish that Quay's pods run on different nodes, if there are several."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": scope.selector(COMPONENT)},
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _claimed(name: str, claim: str) -> dict[str, Any]:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


# --- jobs ---


def job_name(verb: str, subject: str) -> str:
    """Return a job's name, from what it does and the version or dump that it does it with."""
    return f"quaylab-{verb}-{subject.replace('.', '-')}"


def is_job(name: str, *verbs: str) -> bool:
    """Whether a job does one of these, with any version or dump."""
    return name.startswith(tuple(job_name(verb, "") for verb in verbs))


def reach(context: Context, pods: Pods, files: Mapping[str, str]) -> Object:
    """Return the job that tries all addresses that Quay connects to, from inside the cluster, and
    the logins of services that are known only there. It is run once for each set of addresses and
    each image: an image that the cluster can't pull is found out before a migration is noted as
    begun. With logins it is run once for each bundle."""
    targets = sorted(quay_connections.connections(context.settings, context.topology).values())
    words = [str(word) for target in targets for word in target]
    image = quay.image(context.settings).reference
    checker = container(
        "reach",
        image,
        command=[
            *shell(f'out=$({{ {quay_connections.REACH}\n}}); echo "$out"; [[ -z $out ]]'),
            "reach",
            *words,
        ],
        resources=resources("100m", 128),
    )
    endpoints = context.topology.endpoints.items()
    inside = [name for name, endpoint in endpoints if is_known_inside(endpoint)]
    if not inside:
        return _job(pods, _reach_name(pods, [image, *words]), checker, [])
    script = (SCRIPTS / "try_logins.py").read_text()
    login = container(
        "login",
        image,
        command=["python3", "-c", script, *inside],
        workingDir="/",
        volumeMounts=[_BUNDLE_MOUNT],
        resources=resources("100m", 256),
    )
    name = _reach_name(pods, [image, *words, script, *inside, dict(files)])
    return _job(pods, name, login, [_bundle_volume(files)], [checker])


def _reach_name(pods: Pods, content: list[Any]) -> str:
    return job_name("reach", pods.scope.digest(content)[:8])


def migration(context: Context, pods: Pods, files: Mapping[str, str]) -> Object:
    """Return the job that migrates the schema to this version of Quay's, run once for each."""
    migrate = container(
        MIGRATE,
        quay.image(context.settings).reference,
        args=["migrate", "head"],
        volumeMounts=list(_MOUNTS),
        resources=resources("250m", 1024),
    )
    before = [_client(context, "extension", shell(EXTENSION))]
    return _job(
        pods,
        job_name(MIGRATE, quay_version(context.settings)),
        migrate,
        [_bundle_volume(files), _TOKEN_VOLUME],
        before if runs_here(context.topology, "database") else [],
    )


def dump(context: Context, pods: Pods, schema: str) -> Object:
    """Return the job that dumps the database before an upgrade from this version of its schema."""
    return _dumps_job(context, pods, "dump", DUMP, f"{schema}-to-{quay_version(context.settings)}")


def restoration(context: Context, pods: Pods, name: str) -> Object:
    """Return the job that replaces the database's content by a dump."""
    return _dumps_job(context, pods, RESTORE, RESTORATION, name)


def dump_check(context: Context, pods: Pods, name: str) -> Object:
    """Return the job that fails if there is no such dump, and then says which there are."""
    return _dumps_job(context, pods, "check", CHECK, name)


def _dumps_job(context: Context, pods: Pods, verb: str, script: str, name: str) -> Object:
    client = _client(context, verb, [*shell(script), name])
    client["volumeMounts"] = [{"name": "dumps", "mountPath": "/dumps"}]
    volumes = [_claimed("dumps", backing.DUMPS)]
    return _job(pods, job_name(verb, name), client, volumes)


def _client(context: Context, name: str, command: list[str]) -> dict[str, Any]:
    """Return a container that uses the cluster's database as Quay's role."""
    return container(
        name,
        database.image(context.settings).reference,
        command=command,
        env=[
            *environment({"PGHOST": backing.DATABASE}),
            *secret_environment(backing.DATABASE, backing.LOGIN),
        ],
        resources=resources("100m", 256),
    )


def _job(
    pods: Pods,
    name: str,
    main: dict[str, Any],
    volumes: list[dict[str, Any]],
    before: list[dict[str, Any]] | None = None,
) -> Object:
    """Return a job of one pod; what it says at its end is kept in the pod's state."""
    for each in (main, *(before or [])):
        each["terminationMessagePolicy"] = "FallbackToLogsOnError"
    spec = {
        "restartPolicy": "Never",
        **({"initContainers": before} if before else {}),
        "containers": [main],
        **({"volumes": volumes} if volumes else {}),
    }
    template = pods.template(backing.CLIENT, spec, name)
    return Object(JOB, name, {"spec": {"backoffLimit": 0, "template": template}}, backing.CLIENT)
