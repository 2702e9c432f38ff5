"""What the double of an API server keeps: objects, their versions, and who owns their fields."""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import jsonschema
from kubernetes_validate import SchemaNotFoundError

from quaylab.openshift.quantities import number
from tests.openshift import fields
from tests.openshift.fields import Path
from tests.unit import cluster_schemas

Manifest = dict[str, Any]
# Plural, namespace (empty: none), name.
Key = tuple[str, str, str]
VERSION = "1.32"
# Seconds that an object is still there after a client has had it deleted.
ENDING = 0.2
# The garbage collector's finalizers, by the policy that a client asks for.
ORPHAN = "orphan"
COLLECTORS = {"Orphan": ORPHAN, "Foreground": "foregroundDeletion"}
# Keeps a claim as long as a pod uses it.
PROTECTION = "kubernetes.io/pvc-protection"
# The right to change the host of a route.
CHANGE_HOST = "update routes/custom-host"


@dataclass
class Refused(Exception):
    """A Status that the server answers."""

    code: int
    reason: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def not_found(resource: str, name: str) -> Refused:
    message, details = f'{resource} "{name}" not found', {"name": name, "kind": resource}
    return Refused(404, "NotFound", message, details)


@dataclass
class Storage:
    """Objects by plural, namespace and name.

    ``admission`` holds functions that may refuse an object before it is stored; ``changed`` is
    called after each change, as the controllers are. ``endings`` are the seconds that objects of a
    plural are still there after they were deleted, if not ``ENDING``; ``denied`` are rights that
    the login lacks, as "verb resource".
    """

    objects: dict[Key, Manifest] = field(default_factory=dict)
    owners: dict[Key, dict[str, set[Path]]] = field(default_factory=dict)
    admission: list[Callable[[str, Manifest], None]] = field(default_factory=list)
    changed: Callable[[], None] = lambda: None
    lock: threading.RLock = field(default_factory=threading.RLock)
    version: int = 100
    endings: dict[str, float] = field(default_factory=dict)
    # The role `admin` hasn't this one.
    denied: set[str] = field(default_factory=lambda: {CHANGE_HOST})

    def get(self, key: Key) -> Manifest:
        if key not in self.objects:
            raise not_found(key[0], key[2])
        return copy.deepcopy(self.objects[key])

    def list(self, plural: str, namespace: str, selector: Mapping[str, str]) -> Iterator[Manifest]:
        for (kind, where, _), manifest in sorted(self.objects.items()):
            labels = manifest["metadata"].get("labels") or {}
            if kind == plural and namespace in ("", where) and selector.items() <= labels.items():
                yield copy.deepcopy(manifest)

    def create(self, key: Key, manifest: Manifest, manager: str, dry: bool) -> Manifest:
        if key in self.objects:
            raise Refused(409, "AlreadyExists", f'{key[0]} "{key[2]}" already exists')
        self._check_namespace(key)
        return self._store(key, None, manifest, {manager: fields.paths(manifest)}, dry)

    def apply(
        self, key: Key, config: Manifest, manager: str, force: bool, dry: bool
    ) -> tuple[Manifest, bool]:
        """Apply a manifest as one manager; return the object, and whether it is new."""
        _validate(config)
        self._check_namespace(key)
        live, wanted = self.objects.get(key), fields.paths(config)
        if live is None:
            return self._store(key, None, config, {manager: wanted}, dry), True
        owners = {name: set(owned) for name, owned in self.owners[key].items()}
        for name, owned in owners.items():
            clashing = {
                path
                for path in owned & wanted
                if name != manager and fields.get(live, path) != fields.get(config, path)
            }
            if clashing and not force:
                shown = ", ".join(sorted("." + ".".join(map(str, path)) for path in clashing))
                raise Refused(
                    409,
                    "Conflict",
                    f'Apply failed with 1 conflict: conflict with "{name}": {shown}',
                )
            owned -= clashing
        result = fields.merged(live, config)
        for path in sorted(owners.get(manager, set()) - wanted, key=len, reverse=True):
            if not any(path in owned for name, owned in owners.items() if name != manager):
                fields.without(result, path)
        owners[manager] = wanted
        return self._store(key, live, result, owners, dry), False

    def replace(self, key: Key, manifest: Manifest, manager: str, dry: bool = False) -> Manifest:
        """Update an object, as `kubectl edit` and `kubectl patch` do: what is changed gets a new
        owner."""
        live = self.get(key)
        sent = manifest["metadata"].get("resourceVersion")
        if sent and sent != live["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified; apply your changes to it")
        before, after = fields.paths(live), fields.paths(manifest)
        different = {
            path for path in before | after if fields.get(live, path) != fields.get(manifest, path)
        }
        owners = {name: owned - different for name, owned in self.owners[key].items()}
        owners[manager] = owners.get(manager, set()) | (different & after)
        result = self._store(key, live, manifest, owners, dry)
        metadata = result["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and not dry:
            self.delete(key)
        return result

    def finish(self, key: Key) -> None:
        """What the last finalizer's removal does to an object that is being deleted."""
        self.objects[key]["metadata"]["finalizers"] = []
        self.delete(key)

    def begin_deletion(self, key: Key, policy: str | None) -> Manifest:
        """Delete an object as a client has it deleted: its end takes a moment, and until then the
        garbage collector's finalizer says what becomes of what it owns."""
        manifest = self.get(key)
        metadata = self.objects[key]["metadata"]
        metadata.setdefault("deletionTimestamp", now())
        others = [e for e in metadata.get("finalizers", []) if e not in COLLECTORS.values()]
        collector = [COLLECTORS[policy]] if policy in COLLECTORS else []
        metadata["finalizers"] = others + collector
        uid = metadata.get("uid")

        def end() -> None:
            with self.lock:
                found = self.objects.get(key)
                if found and found["metadata"].get("uid") == uid:
                    self._collect(key)

        timer = threading.Timer(self.endings.get(key[0], ENDING), end)
        timer.daemon = True
        timer.start()
        return manifest

    def _collect(self, key: Key) -> None:
        """Do what the garbage collector does for its finalizer, which it removes then."""
        metadata = self.objects[key]["metadata"]
        if ORPHAN in metadata["finalizers"]:
            for each in self._owned_by(metadata.get("uid")).values():
                del each["metadata"]["ownerReferences"]
        metadata["finalizers"] = [e for e in metadata["finalizers"] if e not in COLLECTORS.values()]
        if not metadata["finalizers"]:
            self.delete(key)
        else:
            self.changed()

    def _owned_by(self, uid: str | None) -> dict[Key, Manifest]:
        return {
            key: each
            for key, each in self.objects.items()
            if uid in [one["uid"] for one in each["metadata"].get("ownerReferences") or []]
        }

    def delete(self, key: Key) -> Manifest:
        """Delete an object, and what it owns. An object with finalizers stays until these are
        removed."""
        manifest = self.get(key)
        if manifest["metadata"].get("finalizers"):
            self.objects[key]["metadata"]["deletionTimestamp"] = now()
            return manifest
        del self.objects[key], self.owners[key]
        for other in self._owned_by(manifest["metadata"].get("uid")):
            if other in self.objects:
                self.delete(other)
        if key[0] == "namespaces":
            for other in [each for each in self.objects if each[1] == key[2]]:
                del self.objects[other], self.owners[other]
        self.changed()
        return manifest

    def set_status(self, key: Key, status: Manifest) -> None:
        """What controllers do: it changes no generation."""
        if key in self.objects:
            self.objects[key]["status"] = status

    def _store(
        self,
        key: Key,
        live: Manifest | None,
        manifest: Manifest,
        owners: dict[str, set[Path]],
        dry: bool,
    ) -> Manifest:
        result = copy.deepcopy(manifest)
        defaulted(result)
        for admit in self.admission:
            admit(key[0], result)
        metadata = result["metadata"]
        before = live["metadata"] if live else {}
        metadata["uid"] = before.get("uid", str(uuid.uuid4()))
        metadata["creationTimestamp"] = before.get("creationTimestamp", now())
        if live:
            _check_immutable(key[0], live, result)
            self._check_host(key[0], live, result)
        elif key[0] == "persistentvolumeclaims":
            metadata["finalizers"] = [PROTECTION]
        is_changed = live is None or _plain(live) != _plain(result) or owners != self.owners[key]
        if "spec" in result:
            spec_changed = live is None or live.get("spec") != result.get("spec")
            metadata["generation"] = before.get("generation", 0) + spec_changed
        if is_changed and not dry:
            self.version += 1
            metadata["resourceVersion"] = str(self.version)
            times = {each["manager"]: each["time"] for each in before.get("managedFields", [])}
            metadata["managedFields"] = [
                {
                    "manager": name,
                    "operation": "Apply" if name == "quaylab" else "Update",
                    "apiVersion": result["apiVersion"],
                    # When the manager's fields or their values were last changed.
                    "time": times[name]
                    if name in times and self._is_same(key, name, owned, live, result)
                    else now(),
                    "fieldsType": "FieldsV1",
                    "fieldsV1": fields.fields_v1(owned),
                }
                for name, owned in owners.items()
                if owned
            ]
            self.objects[key], self.owners[key] = result, owners
            self.changed()
            return copy.deepcopy(self.objects[key])
        metadata.setdefault("resourceVersion", before.get("resourceVersion", ""))
        return result

    def _check_host(self, plural: str, live: Manifest, wanted: Manifest) -> None:
        """Refuse another host of a route as OpenShift does (openshift/library-go,
        pkg/route/hostassignment)."""
        if plural != "routes" or live["spec"]["host"] == wanted["spec"]["host"]:
            return
        if CHANGE_HOST in self.denied:
            raise Refused(
                422,
                "Invalid",
                f'Route.route.openshift.io "{wanted["metadata"]["name"]}" is invalid: spec.host: '
                f'Invalid value: "{wanted["spec"]["host"]}": you do not have permission to set the '
                "host field of the route",
            )

    def _is_same(
        self, key: Key, manager: str, owned: set[Path], live: Manifest | None, wanted: Manifest
    ) -> bool:
        """Whether a manager has the fields that it had, with their values."""
        return owned == self.owners[key].get(manager) and all(
            fields.get(live, path) == fields.get(wanted, path) for path in owned
        )

    def _check_namespace(self, key: Key) -> None:
        if not key[1]:
            return
        found = self.objects.get(("namespaces", "", key[1]))
        if found is None:
            raise not_found("namespaces", key[1])
        if found["status"]["phase"] == "Terminating":
            raise Refused(
                403,
                "Forbidden",
                f'{key[0]} "{key[2]}" is forbidden: unable to create new content in namespace '
                f"{key[1]} because it is being terminated",
            )


def _plain(manifest: Manifest) -> Manifest:
    metadata = {
        key: value
        for key, value in manifest["metadata"].items()
        if key not in ("resourceVersion", "generation", "managedFields")
    }
    return {**manifest, "metadata": metadata}


def _validate(manifest: Manifest) -> None:
    """Refuse what the schemas don't know, as the server's strict validation does."""
    try:
        cluster_schemas.check(manifest, VERSION)
    except (jsonschema.ValidationError, SchemaNotFoundError) as error:
        message = getattr(error, "message", str(error))
        raise Refused(400, "BadRequest", f"strict decoding error: {message}") from None


def _check_immutable(plural: str, live: Manifest, wanted: Manifest) -> None:
    kind, name = wanted["kind"], wanted["metadata"]["name"]

    def refuse(path: str) -> None:
        raise Refused(
            422, "Invalid", f'{kind} "{name}" is invalid: {path}: Invalid value: field is immutable'
        )

    if plural == "jobs" and live["spec"]["template"] != wanted["spec"]["template"]:
        refuse("spec.template")
    if plural == "deployments" and live["spec"]["selector"] != wanted["spec"]["selector"]:
        refuse("spec.selector")
    if plural == "persistentvolumeclaims":
        before, after = _size(live), _size(wanted)
        is_bound = live["status"]["phase"] == "Bound"
        if _sizeless(live) != _sizeless(wanted) or (before != after and not is_bound):
            refuse(
                "spec: Forbidden: spec is immutable after creation except resources.requests and "
                "volumeAttributesClassName for bound claims\n  core.PersistentVolumeClaimSpec{"
            )
        if after < before and after <= number(live["status"]["capacity"]["storage"]):
            refuse("spec.resources.requests.storage: Forbidden: less than status.capacity")
    if plural == "secrets" and live.get("type") != wanted.get("type"):
        refuse("type")


def _size(claim: Manifest) -> float:
    return number(claim["spec"]["resources"]["requests"]["storage"])


def _sizeless(claim: Manifest) -> Manifest:
    return {key: value for key, value in claim["spec"].items() if key != "resources"}


def defaulted(manifest: Manifest) -> None:
    """Set what the server sets where nobody says otherwise; a choice of it."""
    kind, spec = manifest["kind"], manifest.get("spec", {})
    if kind == "Namespace":
        manifest.setdefault("spec", {"finalizers": ["kubernetes"]})
        manifest.setdefault("status", {"phase": "Active"})
    if kind == "Service":
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        spec.setdefault("clusterIP", "10.43.0.77")
    if kind == "PersistentVolumeClaim":
        spec.setdefault("volumeMode", "Filesystem")
        spec.setdefault("storageClassName", "standard")
        manifest.setdefault("status", {"phase": "Pending"})
    if kind == "Secret":
        manifest.setdefault("type", "Opaque")
    if kind in ("Deployment", "Job"):
        pod = spec["template"]["spec"]
        pod.setdefault("dnsPolicy", "ClusterFirst")
        pod.setdefault("schedulerName", "default-scheduler")
        pod.setdefault("terminationGracePeriodSeconds", 30)
        pod.setdefault("restartPolicy", "Always")
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("terminationMessagePolicy", "File")
            for amounts in container.get("resources", {}).values():
                # The server writes quantities in their shortest form.
                if amounts.get("memory", "").endswith("Mi"):
                    size = int(amounts["memory"][:-2])
                    if size % 1024 == 0:
                        amounts["memory"] = f"{size // 1024}Gi"
    if kind == "Job":
        spec.setdefault("completions", 1)
        spec.setdefault("parallelism", 1)
        name = manifest["metadata"]["name"]
        spec.setdefault("selector", {"matchLabels": {"controller-uid": name}})
        spec["template"].setdefault("metadata", {}).setdefault("labels", {})["job-name"] = name
