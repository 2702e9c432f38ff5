"""PostgreSQL and Redis in the cluster, by the images that run them on machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quaylab.model import container_name
from quaylab.openshift.layout import replicas
from quaylab.openshift.objects import (
    CLAIM,
    DATA,
    DEPLOYMENT,
    SECRET,
    SERVICE,
    Found,
    Manifest,
    Object,
    Scope,
    secret_data,
)
from quaylab.openshift.pods import (
    Pods,
    container,
    environment,
    resources,
    secret_environment,
    shell,
)
from quaylab.openshift.quantities import number
from quaylab.services import database, redis
from quaylab.services.base import Context
from quaylab.services.database_engine import MAX_CONNECTIONS

DATABASE, REDIS = container_name("database"), container_name("redis")
DUMPS = "quaylab-dumps"
# The component of pods that only use the database.
CLIENT = "database-client"
# A pod that is deleted gets its successor at once, while it still stops; only a changed template
# waits for its end. Two servers on one volume destroy the data, so the second one waits for a lock,
# which ends with the first one's last process. PostgreSQL's own lock file is no help: all servers
# of containers have the same process ids.
START = 'exec 9>>"$0/.quaylab-lock"; flock 9 || echo "the volume is not locked"; exec "$@"'
# PostgreSQL's fast shutdown. By SIGTERM it would wait for Quay's connections until it is killed.
STOP_COMMAND = "kill -INT 1"
# The memory of PostgreSQL, in MiB. sclorg's image gives a quarter of it to the shared buffers; the
# rest is for connections, which need some megabytes each, and several pods of Quay get three times
# as many.
MEMORY_MB, MEMORY_FOR_PODS_MB = 1024, 2048
# The variables of the database's clients, by the Secret's keys.
LOGIN = {"PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "database"}


def claim(
    context: Context,
    name: str,
    component: str,
    size_gb: int,
    found: Found,
    annotations: Mapping[str, str] = {},
) -> Object:
    """Return the claim of a volume that one pod mounts.

    One that is there and has no volume yet keeps the size that it has: the server changes it only
    once the claim is bound, which some storage classes do when its first pod comes.

    Args:
        found: the objects that are there.
    """
    size = f"{size_gb}Gi"
    present = found.get((CLAIM.name, name))
    if present and present.get("status", {}).get("phase") != "Bound":
        size = present["spec"]["resources"]["requests"]["storage"]
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
    }
    if storage_class := context.settings.openshift_storage_class:
        spec["storageClassName"] = storage_class
    return Object(CLAIM, name, {"spec": spec}, component, annotations)


def shortage(claim: Manifest) -> str | None:
    """Return how much smaller a claim's volume is than what the claim asks for, with the cluster's
    conditions of it; None: it is as large, or larger as some provisioners make it, or not there."""
    status, wanted = claim.get("status", {}), claim["spec"]["resources"]["requests"]["storage"]
    found = status.get("capacity", {}).get("storage", wanted)
    if number(found) >= number(wanted):
        return None
    conditions = [
        ": ".join(filter(None, (each["type"], each.get("message"))))
        for each in status.get("conditions") or []
        if each["status"] == "True"
    ]
    return "; ".join([f"its volume has {found} of {wanted}", *conditions])


def service(
    scope: Scope, name: str, component: str, ports: Mapping[str, tuple[int, int]]
) -> Object:
    """Return a Service with the address inside the cluster.

    Args:
        ports: the Service's port and the pods', by name.
    """
    spec = {
        "selector": scope.selector(component),
        "ports": [
            {"name": port, "protocol": "TCP", "port": outside, "targetPort": inside}
            for port, (outside, inside) in ports.items()
        ],
    }
    return Object(SERVICE, name, {"spec": spec}, component)


def database_secret(context: Context) -> Object:
    values = {
        "user": context.settings.database_user,
        "password": context.credentials.database_password.get_secret_value(),
        "database": context.settings.database_name,
    }
    return Object(SECRET, DATABASE, {"type": "Opaque", "data": secret_data(values)}, "database")


def redis_secret(context: Context) -> Object:
    values = {"password": context.credentials.redis_password.get_secret_value()}
    return Object(SECRET, REDIS, {"type": "Opaque", "data": secret_data(values)}, "redis")


def database_objects(context: Context, found: Found) -> tuple[Object, ...]:
    """Return what keeps the database's data, and the data that an upgrade dumps.

    Args:
        found: the objects that are there.
    """
    size, data = context.settings.openshift_database_gb, database.data_kind(context.settings)
    return (
        claim(context, DATABASE, "database", size, found, {DATA: data}),
        claim(context, DUMPS, "database", size, found),
    )


def database_deployment(context: Context, pods: Pods) -> Object:
    settings, kind = context.settings, database.engine(context.settings)
    variables = {f"{kind.prefix}_{key.upper()}": key for key in ("user", "password", "database")}
    # As on machines, one pod of Quay gets on with the image's own limit.
    has_pods = replicas(settings, context.topology) > 1
    limit = {f"{kind.prefix}_MAX_CONNECTIONS": str(MAX_CONNECTIONS)} if has_pods else {}
    server = container(
        "database",
        database.image(settings).reference,
        args=[*shell(START), kind.data, kind.start],
        env=[*secret_environment(DATABASE, variables), *environment(limit)],
        ports=[{"name": "database", "containerPort": kind.port, "protocol": "TCP"}],
        volumeMounts=[{"name": "data", "mountPath": kind.data}],
        resources=resources("250m", MEMORY_FOR_PODS_MB if has_pods else MEMORY_MB),
        # By TCP: while the data is initialised the server listens on its socket only.
        readinessProbe={
            "exec": {"command": shell("pg_isready --quiet --host=127.0.0.1")},
            "periodSeconds": 5,
            "timeoutSeconds": 5,
        },
        lifecycle={"preStop": {"exec": {"command": shell(STOP_COMMAND)}}},
    )
    spec = {
        "terminationGracePeriodSeconds": 60,
        "containers": [server],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": DATABASE}}],
    }
    return _deployment(context, pods, "database", DATABASE, spec)


def redis_deployment(context: Context, pods: Pods) -> Object:
    server = container(
        "redis",
        redis.image(context.settings).reference,
        args=["run-redis"],
        env=secret_environment(REDIS, {"REDIS_PASSWORD": "password"}),
        ports=[{"name": "redis", "containerPort": redis.PORT, "protocol": "TCP"}],
        # Its data may be lost.
        volumeMounts=[{"name": "data", "mountPath": "/var/lib/redis/data"}],
        resources=resources("100m", 256),
        # Without a password Redis answers NOAUTH, which shows that it is up.
        readinessProbe={
            "exec": {"command": shell("redis-cli -h 127.0.0.1 ping 2>&1 | grep -qE 'PONG|NOAUTH'")},
            "periodSeconds": 5,
            "timeoutSeconds": 5,
        },
    )
    spec = {"containers": [server], "volumes": [{"name": "data", "emptyDir": {}}]}
    return _deployment(context, pods, "redis", REDIS, spec)


def _deployment(
    context: Context,
    pods: Pods,
    component: str,
    name: str,
    spec: Mapping[str, Any],
) -> Object:
    secret = database_secret(context) if name == DATABASE else redis_secret(context)
    content = {
        "spec": {
            "replicas": 1,
            # The volume serves one pod.
            "strategy": {"type": "Recreate"},
            "progressDeadlineSeconds": context.settings.health_timeout,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": pods.scope.selector(component)},
            "template": pods.template(component, spec, dict(secret.content)),
        }
    }
    return Object(DEPLOYMENT, name, content, component)
