"""The registry as Quay's operator makes it: the objects that it is told by.

From the sources of quay-operator: which keys of config.yaml belong to a component, which names its
objects have (kustomize/), and what it does with the overrides (pkg/middleware).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quaylab.checks import blob_location, database_location
from quaylab.openshift import access, quay
from quaylab.openshift.description import NOTE, front
from quaylab.openshift.layout import OPERATOR, REGISTRY, replicas, runs_here
from quaylab.openshift.objects import (
    BUCKET_CLAIM,
    CLAIM,
    CONFIG_MAP,
    CONFIGURATION,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    OPERATOR_GROUP,
    QUAY_REGISTRY,
    ROUTE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    SUBSCRIPTION,
    Kind,
    Object,
    Scope,
    secret_data,
)
from quaylab.openshift.operator.settings import database_gb
from quaylab.openshift.pods import environment
from quaylab.openshift.quantities import shortest
from quaylab.services import quay as quay_service
from quaylab.services import quay_config
from quaylab.services.base import Context
from quaylab.settings.loading import Settings
from quaylab.versions import quay_version

# The label of all that the operator makes of the QuayRegistry, pods included.
PARTS = {"quay-operator/quayregistry": REGISTRY}
# Its Deployment and its Service of Quay, and the label of the Deployment's pods.
APP = f"{REGISTRY}-quay-app"
APP_PODS = {**PARTS, "quay-component": "quay-app"}
# Without it, a QuayRegistry that is being deleted goes.
FINALIZER = "quay-operator/finalizer"
# The labels of the operator's database.
DATABASE_PARTS = {**PARTS, "quay-component": "postgres"}
# What the operator leaves of a component that it no longer looks after: its label, and its kinds.
LEFT_PARTS: Mapping[str, tuple[str, tuple[Kind, ...]]] = {
    "route": ("quay-app-route", (ROUTE,)),
    "redis": ("redis", (DEPLOYMENT, SERVICE)),
}
# What of it is removed when the registry is taken down, and what only a purge removes.
REMOVED_PARTS: tuple[Kind, ...] = (ROUTE, DEPLOYMENT, JOB, SERVICE, SERVICE_ACCOUNT, CONFIG_MAP)
KEPT_PARTS: tuple[Kind, ...] = (SECRET, CLAIM, BUCKET_CLAIM)
# What holds in place of an address where the operator looks after a component, and what earlier
# notes have of a database elsewhere.
MANAGED, ELSEWHERE = "operator", "elsewhere"
# The operator's name for the location of its bucket.
LOCATION = "local_us"
LOCATION_KEYS = ("USERFILES_LOCATION", "LOG_ARCHIVE_LOCATION", "ACTION_LOG_ARCHIVE_LOCATION")
# The keys of config.yaml that the operator sets itself, by the component that it looks after. It
# refuses a bundle that has one of them.
KEYS: Mapping[str, tuple[str, ...]] = {
    "postgres": ("DB_URI", "DB_CONNECTION_ARGS"),
    "redis": ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS"),
    "objectstorage": (
        "DISTRIBUTED_STORAGE_CONFIG",
        "DISTRIBUTED_STORAGE_PREFERENCE",
        "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS",
    ),
}
# Where the files of extra_ca_certs/ are in the bundle, since a Secret's keys have no folders.
CA_FOLDER, CA_KEY = "extra_ca_certs/", "extra_ca_cert_"


@dataclass(frozen=True)
class OperatorDescription:
    """The objects of the operator method.

    Attributes:
        installation: what has the operator installed.
        exposure: what leads clients to Quay; none, if the operator makes the route.
        configuration: the digest of the bundle, which Quay's pods bear as an annotation.
        replicas: the number of Quay's pods.
        unmanaged: the components that the operator does not look after.
        note: written first, so that no run by another method builds over the registry.
    """

    namespace: Object
    note: Object
    installation: tuple[Object, ...]
    bundle: Object
    registry: Object
    exposure: tuple[Object, ...]
    configuration: str
    replicas: int
    unmanaged: tuple[str, ...]

    @property
    def lasting(self) -> tuple[Object, ...]:
        """All but the namespace and the note."""
        return (*self.installation, self.bundle, self.registry, *self.exposure)

    @property
    def jobs(self) -> tuple[Object, ...]:
        """None: the operator has jobs of its own."""
        return ()

    finished = jobs

    @property
    def front(self) -> Object:
        """The object that leads clients to Quay."""
        if self.exposure:
            return front(self.exposure)
        return Object(ROUTE, f"{REGISTRY}-quay", {}, quay.COMPONENT)

    @property
    def makes_bucket(self) -> bool:
        """Whether the operator makes a bucket for the blobs."""
        return bool(self.note.content["data"]["storage"] == MANAGED)

    @property
    def verified(self) -> Object:
        """The object whose changes make a new verification due."""
        return self.registry


def describe(
    context: Context, scope: Scope, is_openshift: bool, catalogue_namespace: str
) -> OperatorDescription:
    """Return the objects that have Quay's operator make the registry.

    Args:
        is_openshift: whether the cluster adds its own CAs to Quay's.
        catalogue_namespace: the namespace of the operator's catalogue.
    """
    files = _files(context, is_openshift)
    configuration = scope.digest(files)
    targets = {"spec": {"targetNamespaces": [scope.namespace]}}
    wanted = components(context, configuration)
    has_route = wanted["route"]["managed"]
    backend = access.Backend(APP, APP_PODS)
    return OperatorDescription(
        Object(NAMESPACE, scope.namespace, {}, "registry"),
        note(context),
        (
            Object(OPERATOR_GROUP, REGISTRY, targets, OPERATOR),
            _subscription(context.settings, catalogue_namespace),
        ),
        Object(SECRET, quay.BUNDLE, {"type": "Opaque", "data": secret_data(files)}, quay.COMPONENT),
        _registry(wanted),
        () if has_route else access.exposure(context, backend),
        configuration,
        replicas(context.settings, context.topology),
        tuple(kind for kind, each in wanted.items() if not each["managed"]),
    )


def note(context: Context) -> Object:
    """Return the note of how the registry is made, and of where its data is."""
    settings, topology = context.settings, context.topology
    database, store = database_location.location(settings, topology), topology.object_store
    data = {
        "method": OPERATOR,
        "database": MANAGED if runs_here(topology, "database") else database,
        "storage": blob_location.place(settings, topology) if store else MANAGED,
    }
    return Object(CONFIG_MAP, NOTE, {"data": data}, "registry")


def channel(settings: Settings) -> str:
    """Return the operator's channel, which has the releases of one minor version of Quay's."""
    major, minor = release(quay_version(settings))
    return f"stable-{major}.{minor}"


def release(text: str) -> tuple[int, int]:
    """Return major and minor number of a version, such as ``stable-3.18`` and
    ``quay-operator.v3.18.2``; (0, 0) if there are none."""
    found = re.search(r"([0-9]+)\.([0-9]+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _subscription(settings: Settings, catalogue_namespace: str) -> Object:
    spec = {
        "name": settings.openshift_operator,
        "channel": channel(settings),
        "source": settings.openshift_catalogue,
        "sourceNamespace": catalogue_namespace,
        # Within a channel there are releases of one minor version only.
        "installPlanApproval": "Automatic",
    }
    return Object(SUBSCRIPTION, settings.openshift_operator, {"spec": spec}, OPERATOR)


def _backing(context: Context) -> dict[str, bool]:
    """Return which of the components that Quay needs the operator looks after: those that the
    settings don't name elsewhere."""
    topology = context.topology
    return {
        "postgres": runs_here(topology, "database"),
        "redis": runs_here(topology, "redis"),
        "objectstorage": topology.object_store is None,
    }


def components(context: Context, configuration: str) -> dict[str, dict[str, Any]]:
    """Return the components of the QuayRegistry by kind: all of them, since the operator would add
    those that are missing."""
    managed = {
        "quay": True,
        **_backing(context),
        "route": context.settings.openshift_exposure in (None, "route"),
        # Quay has the bundle's certificate, as on machines.
        "tls": False,
        # It would change the number of pods.
        "horizontalpodautoscaler": False,
        # Nothing on machines corresponds to these; Quay's own pods mirror as well.
        "clair": False,
        "clairpostgres": False,
        "mirror": False,
        "monitoring": False,
    }
    found: dict[str, dict[str, Any]] = {
        kind: {"kind": kind, "managed": each} for kind, each in managed.items()
    }
    found["quay"]["overrides"] = _overrides(context, configuration)
    if managed["postgres"]:
        overrides = {"volumeSize": shortest(1024 * database_gb(context.settings))}
        if storage_class := context.settings.openshift_storage_class:
            overrides["storageClassName"] = storage_class
        found["postgres"]["overrides"] = overrides
    return found


def _overrides(context: Context, configuration: str) -> dict[str, Any]:
    """Return what Quay's pods get in place of the operator's own values."""
    memory_mb = context.settings.openshift_memory_mb
    variables = quay_service.environment(context, _config(context), 2 * memory_mb)
    # The operator writes quantities in this form when it adds its finalizer.
    memory = shortest(memory_mb)
    return {
        "replicas": replicas(context.settings, context.topology),
        "env": environment(dict(variables)),
        "resources": {
            "requests": {"cpu": "500m", "memory": memory},
            "limits": {"memory": memory},
        },
        # It tells which bundle a pod has been started with. And the operator looks at a changed
        # bundle at once: by itself it looks once in a minute.
        "annotations": {CONFIGURATION: configuration},
    }


def _registry(wanted: Mapping[str, dict[str, Any]]) -> Object:
    spec = {"configBundleSecret": quay.BUNDLE, "components": list(wanted.values())}
    return Object(QUAY_REGISTRY, REGISTRY, {"spec": spec}, quay.COMPONENT)


def _config(context: Context) -> dict[str, Any]:
    """Return config.yaml without the keys that the operator sets."""
    topology, managed = context.topology, _backing(context)
    config = quay_config.build(context.settings, topology, context.credentials)
    for component in [kind for kind, each in managed.items() if each]:
        for key in KEYS[component]:
            del config[key]
    if managed["redis"]:
        # The operator's Redis has no password.
        redis = {"host": topology.redis.address, "port": topology.redis.port, "db": 0}
        config["PULL_METRICS_REDIS"] = redis
    if managed["objectstorage"]:
        config |= dict.fromkeys(LOCATION_KEYS, LOCATION)
    return config


def _files(context: Context, is_openshift: bool) -> dict[str, str]:
    """Return the files of the bundle by their keys in the Secret."""
    files = quay_service.bundle(context, _config(context))
    if not is_openshift:
        # Quay doesn't start with an empty folder of CAs, and only OpenShift fills the operator's.
        files[f"{CA_FOLDER}registry.crt"] = context.certificate.trusted
    return {name.replace(CA_FOLDER, CA_KEY): content for name, content in files.items()}
