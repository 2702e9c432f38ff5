"""A double of OLM and of Quay's operator, beside the double of an API server.

It is neither of them. A thread does what their sources say that they do, as far as Quaylab reads
it: OLM brings an installed version to a Subscription, step by step; the operator refuses bundles
and overrides, scales Quay down while a job migrates, and tells conditions. Like the operator, it
looks at a QuayRegistry when that changes, and not when its Secret does.
"""

from __future__ import annotations

import base64
import copy
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml

from tests.openshift.api import OLM, QUAY, Api
from tests.openshift.storage import Key, Manifest, now

PACKAGE, CATALOGUE = "quay-operator", "redhat-operators"
CHANNELS = {"stable-3.17": "3.17.4", "stable-3.18": "3.18.2"}
# From the operator's sources: what it expects of a bundle for each component.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "postgres": ("DB_CONNECTION_ARGS", "DB_URI"),
    "redis": ("BUILDLOGS_REDIS", "USER_EVENTS_REDIS"),
    "objectstorage": (
        "DISTRIBUTED_STORAGE_CONFIG",
        "DISTRIBUTED_STORAGE_PREFERENCE",
        "DISTRIBUTED_STORAGE_DEFAULT_LOCATIONS",
        "FEATURE_STORAGE_REPLICATION",
    ),
}
COMPONENTS = {
    "quay", "postgres", "clair", "redis", "horizontalpodautoscaler", "objectstorage", "route",
    "mirror", "monitoring", "tls", "clairpostgres",
}  # fmt: skip
# Seconds between two looks.
INTERVAL = 0.05
OPERATOR = "quay-operator-tng"


class Operators:
    """``channels`` are those of the catalogue, each with its newest version; ``fault`` is what OLM
    says of a Subscription instead of installing it, as type and message of a condition;
    ``outlives`` is how many looks an operator outlives its version."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.channels = dict(CHANNELS)
        self.fault: tuple[str, str] | None = None
        self.outlives = 20
        self.generations: dict[str, int] = {}
        # How many looks each namespace's operator has been without a version.
        self._looks: dict[str, int] = {}
        self._ended = threading.Event()
        api.kinds |= OLM
        self.publish(CATALOGUE)

    def publish(self, catalogue: str) -> None:
        channels = [{"name": name, "currentCSV": _csv(v)} for name, v in self.channels.items()]
        self.api.storage.objects.pop(("packagemanifests", "openshift-marketplace", PACKAGE), None)
        status = {
            "catalogSource": catalogue,
            "catalogSourceNamespace": "openshift-marketplace",
            "packageName": PACKAGE,
            "channels": channels,
        }
        manifest = {
            "apiVersion": "packages.operators.coreos.com/v1",
            "kind": "PackageManifest",
            "metadata": {"name": PACKAGE, "namespace": "openshift-marketplace"},
            "status": status,
        }
        self.api.add("packagemanifests", manifest, "openshift-marketplace")

    @contextmanager
    def working(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _work(self) -> None:
        while not self._ended.wait(INTERVAL):
            with self.api.storage.lock:
                for key in list(self.api.storage.objects):
                    if key[0] == "subscriptions":
                        self._install(key)
                for key in list(self.api.storage.objects):
                    if key[0] == "quayregistries" and (version := self._installed(key[1])):
                        _Reconciliation(self, key, version).run()
                for key in list(self.api.storage.objects):
                    if key[0] == "deployments" and key[2] == OPERATOR:
                        self._end(key)

    def _objects(self, plural: str, namespace: str) -> dict[str, Manifest]:
        return {
            name: each
            for (kind, where, name), each in self.api.storage.objects.items()
            if (kind, where) == (plural, namespace)
        }

    # --- OLM ---

    def _installed(self, namespace: str) -> str | None:
        """Return the version of the operator that runs in a namespace."""
        found = self._objects("deployments", namespace).get(OPERATOR)
        return str(found["metadata"]["labels"]["double/version"]) if found else None

    def _run(self, namespace: str, csv: str, version: str) -> None:
        """Run the operator of an installed version, as OLM does."""
        labels = {"name": "quay-operator-alm-owned"}
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": OPERATOR,
                "namespace": namespace,
                "labels": {"olm.owner": csv, "double/version": version},
            },
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"quay-version": f"v{version}"}},
                    "spec": _pod("operator", "Always"),
                },
            },
        }
        key = ("deployments", namespace, OPERATOR)
        self.api.storage.apply(key, manifest, "olm", force=True, dry=False)

    def _end(self, key: Key) -> None:
        """End an operator some time after its version was removed."""
        owner = self.api.storage.objects[key]["metadata"]["labels"]["olm.owner"]
        is_owned = owner in self._objects("clusterserviceversions", key[1])
        self._looks[key[1]] = 0 if is_owned else self._looks.get(key[1], 0) + 1
        if self._looks[key[1]] > self.outlives:
            self.api.storage.delete(key)

    def _install(self, key: Key) -> None:
        """Go one step towards the newest version of a Subscription's channel."""
        storage, namespace = self.api.storage, key[1]
        subscription = storage.objects[key]
        if len(self._objects("operatorgroups", namespace)) != 1:
            return
        if self.fault:
            kind, message = self.fault
            condition = {"type": kind, "status": "True", "message": message}
            storage.set_status(key, {**subscription.get("status", {}), "conditions": [condition]})
            return
        version = self.channels[subscription["spec"]["channel"]]
        name, installed = _csv(version), subscription.get("status", {}).get("installedCSV", "")
        steps = {"Pending": "InstallReady", "InstallReady": "Installing", "Installing": "Succeeded"}
        found = self._objects("clusterserviceversions", namespace).get(name)
        if found is None:
            self.api.add("clusterserviceversions", _service_version(name, version), namespace)
            storage.set_status(key, {"currentCSV": name, "installedCSV": installed})
        elif found["status"]["phase"] in steps:
            found["status"] = {"phase": steps[found["status"]["phase"]], "message": "installing"}
            if found["status"]["phase"] == "Succeeded":
                self._run(namespace, name, version)
        elif installed != name:
            if installed:
                storage.delete(("clusterserviceversions", namespace, installed))
            self.api.kinds |= QUAY
            status = {"currentCSV": name, "installedCSV": name, "state": "AtLatestKnown"}
            storage.set_status(key, status)


class _Reconciliation:
    """One look of the operator at a QuayRegistry."""

    def __init__(self, operators: Operators, key: Key, version: str) -> None:
        self.operators, self.storage = operators, operators.api.storage
        self.key, self.version = key, f"v{version}"
        _, self.namespace, self.name = key
        self.registry = self.storage.objects[key]
        self.components = {each["kind"]: each for each in self.registry["spec"]["components"]}

    def run(self) -> None:
        if "deletionTimestamp" in self.registry["metadata"]:
            self._finalize()
            return
        uid, generation = self.registry["metadata"]["uid"], self.registry["metadata"]["generation"]
        is_new = self._status.get("currentVersion") != self.version
        has_changed = self.operators.generations.get(uid) != generation
        if self._condition("ComponentsCreated").get("reason") == "MigrationsInProgress":
            self._check_migration()
        elif (is_new or has_changed) and self._reconcile():
            self.operators.generations[uid] = generation
            self._status["observedGeneration"] = self.registry["metadata"]["generation"]
        self._tell_health()

    @property
    def _status(self) -> Manifest:
        status: Manifest = self.registry.setdefault("status", {})
        return status

    def _condition(self, kind: str) -> Manifest:
        found = [each for each in self._status.get("conditions", []) if each["type"] == kind]
        return found[0] if found else {}

    def _set(self, kind: str, status: bool, reason: str, message: str) -> None:
        others = [each for each in self._status.get("conditions", []) if each["type"] != kind]
        condition = {
            "type": kind,
            "status": str(status),
            "reason": reason,
            "message": message,
            "lastUpdateTime": now(),
        }
        self._status["conditions"] = [*others, condition]

    def _is_managed(self, kind: str) -> bool:
        return bool(self.components[kind]["managed"])

    def _reconcile(self) -> bool:
        """Return whether all was made as described."""
        if missing := COMPONENTS - self.components.keys():
            self.registry["spec"]["components"] += [
                {"kind": kind, "managed": True} for kind in sorted(missing)
            ]
            return False
        if refusal := self._refusal():
            self._set("RolloutBlocked", True, *refusal)
            return False
        upgrades = self._status.get("currentVersion") != self.version
        self._make_objects(upgrades)
        self._set(
            "RolloutBlocked", False, "ComponentsCreationSuccess",
            "All objects created/updated successfully",
        )  # fmt: skip
        if upgrades:
            self._set(
                "ComponentsCreated", False, "MigrationsInProgress", "running database migrations"
            )
            return False
        self._add_finalizer()
        return True

    def _refusal(self) -> tuple[str, str] | None:
        secret = self.operators._objects("secrets", self.namespace).get(
            self.registry["spec"]["configBundleSecret"]
        )
        if secret is None:
            return "ConfigInvalid", "unable to get `configBundleSecret`: not found"
        config = yaml.safe_load(base64.b64decode(secret["data"]["config.yaml"]))
        for kind, fields in FIELDS.items():
            has_config = any(field in config for field in fields)
            if self._is_managed(kind) and has_config:
                return "ConfigInvalid", (
                    f"{kind} component marked as managed, but `configBundleSecret` contains "
                    "required fields"
                )
            if not self._is_managed(kind) and not has_config:
                return "ConfigInvalid", (
                    f"required component `{kind}` marked as unmanaged, but `configBundleSecret` is "
                    "missing necessary fields"
                )
        if not self._is_managed("tls") and not {"ssl.cert", "ssl.key"} <= secret["data"].keys():
            return "ConfigInvalid", "required component `tls` marked as unmanaged"
        if self._is_managed("horizontalpodautoscaler"):
            return "ComponentOverrideInvalid", "cannot override replicas with managed HPA"
        size = self.components["postgres"].get("overrides", {}).get("volumeSize", "50Gi")
        if size.endswith("Gi") and int(size[:-2]) < 50:
            return "ComponentCreationFailed", "cannot shrink volume override size"
        return None

    # --- what it makes ---

    def _make_objects(self, upgrades: bool) -> None:
        self._apply("v1", "Secret", "secrets", "quay-registry-managed-secret-keys", {"data": {}})
        if self._is_managed("postgres"):
            spec = {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "50Gi"}},
            }
            claim = ("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "quay-postgres-13")
            self._apply(*claim, {"spec": spec}, "postgres")
            self._deploy("quay-database", "postgres", 1)
        if self._is_managed("redis"):
            self._deploy("quay-redis", "redis", 1)
        if self._is_managed("objectstorage"):
            bucket = ("objectbucket.io/v1alpha1", "ObjectBucketClaim", "objectbucketclaims")
            self._own(*bucket, "objectstorage")
        if self._is_managed("route"):
            self._own("route.openshift.io/v1", "Route", "routes", "quay-app-route")
        overrides = self.components["quay"]["overrides"]
        self._deploy("quay-app", "quay-app", 0 if upgrades else overrides["replicas"], overrides)
        if upgrades:
            key = ("jobs", self.namespace, f"{self.name}-quay-app-upgrade")
            if key in self.storage.objects:
                self.storage.delete(key)
            template = {"metadata": {}, "spec": _pod("quay-app-upgrade", "Never")}
            job = ("batch/v1", "Job", "jobs", "quay-app-upgrade")
            self._apply(*job, {"spec": {"template": template}}, "quay-app-upgrade")

    def _labels(self, component: str) -> dict[str, str]:
        return {"quay-operator/quayregistry": self.name, "quay-component": component}

    def _metadata(self, name: str, component: str) -> Manifest:
        owner = {
            "apiVersion": "quay.redhat.com/v1",
            "kind": "QuayRegistry",
            "name": self.name,
            "uid": self.registry["metadata"]["uid"],
        }
        return {
            "name": f"{self.name}-{name}",
            "namespace": self.namespace,
            "labels": self._labels(component),
            "ownerReferences": [owner],
        }

    def _apply(
        self, version: str, kind: str, plural: str, name: str, content: Manifest,
        component: str = "quay",
    ) -> None:  # fmt: skip
        metadata = self._metadata(name, component)
        manifest = {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
        key = (plural, self.namespace, metadata["name"])
        self.storage.apply(key, manifest, "quay-operator", force=True, dry=False)

    def _own(self, version: str, kind: str, plural: str, component: str) -> None:
        metadata = self._metadata("quay", component)
        spec = {"host": "quay.example.com"}
        manifest = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
        self.operators.api.add(plural, manifest, self.namespace)

    def _deploy(
        self, name: str, component: str, replicas: int, overrides: Manifest | None = None
    ) -> None:
        metadata = {
            "labels": self._labels(component),
            "annotations": (overrides or {}).get("annotations", {}),
        }
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": self._labels(component)},
            "template": {"metadata": metadata, "spec": _pod(name, "Always")},
        }
        self._apply("apps/v1", "Deployment", "deployments", name, {"spec": spec}, component)

    def _add_finalizer(self) -> None:
        """It writes the whole object, with quantities in their shortest form."""
        registry = copy.deepcopy(self.registry)
        registry["metadata"]["finalizers"] = ["quay-operator/finalizer"]
        for component in registry["spec"]["components"]:
            for amounts in component.get("overrides", {}).get("resources", {}).values():
                amounts |= {name: _shortest(amount) for name, amount in amounts.items()}
        self.registry = self.storage.replace(self.key, registry, "manager")

    def _finalize(self) -> None:
        """Let the registry go. At the worst, a look that began before the deletion ends after it,
        and makes all parts the registry's again."""
        uid = self.registry["metadata"]["uid"]
        self.storage.finish(self.key)
        for key, each in list(self.storage.objects.items()):
            references = each["metadata"].get("ownerReferences") or []
            if uid in [one["uid"] for one in references]:
                self.storage.delete(key)

    # --- what it tells ---

    def _check_migration(self) -> None:
        job = self.operators._objects("jobs", self.namespace)[f"{self.name}-quay-app-upgrade"]
        ended = [each["type"] for each in job.get("status", {}).get("conditions", [])]
        if "Complete" in ended:
            self._status["currentVersion"] = self.version
            # Then it looks again, and scales Quay up.
            self.operators.generations.pop(self.registry["metadata"]["uid"], None)
            self._set(
                "ComponentsCreated", True, "ComponentsCreationSuccess",
                "All registry components created",
            )  # fmt: skip
        elif "Failed" in ended:
            self._set("ComponentsCreated", False, "MigrationsFailed", "failed to run migrations")

    def _tell_health(self) -> None:
        """What the operator's second controller does, each minute."""
        app = f"{self.name}-quay-app"
        deployment = self.operators._objects("deployments", self.namespace).get(app, {})
        if deployment.get("status", {}).get("availableReplicas"):
            self._set("ComponentQuayReady", True, "ComponentReady", "Quay component healthy")
            self._set("Available", True, "HealthChecksPassing", "All components healthy")
        else:
            message = f"Deployment {app} has zero replicas available"
            self._set("ComponentQuayReady", False, "ComponentNotReady", message)
            message = "Some components are not ready"
            self._set("Available", False, "ComponentNotReady", message)


def _csv(version: str) -> str:
    return f"quay-operator.v{version}"


def _service_version(name: str, version: str) -> Manifest:
    owned = [{"name": "quayregistries.quay.redhat.com", "kind": "QuayRegistry", "version": "v1"}]
    return {
        "apiVersion": "operators.coreos.com/v1alpha1",
        "kind": "ClusterServiceVersion",
        "metadata": {"name": name, "annotations": {"quay-version": f"v{version}"}},
        "spec": {"version": version, "customresourcedefinitions": {"owned": owned}},
        "status": {"phase": "Pending", "message": "requirements not yet checked"},
    }


def _pod(name: str, restart: str) -> Manifest:
    container: dict[str, Any] = {"name": name, "image": f"quay.io/projectquay/{name}:double"}
    return {"restartPolicy": restart, "containers": [container]}


def _shortest(quantity: str) -> str:
    found = re.fullmatch(r"([0-9]+)Mi", quantity)
    if found and int(found[1]) % 1024 == 0:
        return f"{int(found[1]) // 1024}Gi"
    return quantity
