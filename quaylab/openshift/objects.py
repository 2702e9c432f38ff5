"""Objects of a cluster's API: their kinds, their manifests, and how two of them differ."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# An object as the API has it.
Manifest = Mapping[str, Any]
# Objects that are there, by kind and name.
Found = Mapping[tuple[str, str], Manifest]
# Which description an object was made from, and which configuration a pod was started with.
DIGEST = "quaylab.io/specification"
CONFIGURATION = "quaylab.io/configuration"
# The fingerprint of the credentials of the registry that an object belongs to.
OWNER = "quaylab.io/credentials"
# What wrote the data in a claim: engine and version, such as postgresql-15-c9s.
DATA = "quaylab.io/data"
# The finalizer by which the garbage collector leaves what an object owns.
ORPHAN = "orphan"
COMPONENT = "app.kubernetes.io/component"
# The part of the API that server-side apply notes as the owner of our fields.
FIELD_MANAGER = "quaylab"
# What the server adds to an object.
_SERVERS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


@dataclass(frozen=True)
class Kind:
    """A kind of objects. ``resource`` is its name in URLs and in rights."""

    api_version: str
    name: str
    resource: str

    @property
    def group(self) -> str:
        """The API group; empty for the core's."""
        return self.api_version.rpartition("/")[0]

    @property
    def argument(self) -> str:
        """The kind as an argument of kubectl, which other groups' kinds of this name don't match:
        ``deployments.v1.apps``."""
        version = self.api_version.rpartition("/")[2]
        return f"{self.resource}.{version}.{self.group}" if self.group else self.resource


NAMESPACE = Kind("v1", "Namespace", "namespaces")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
SERVICE = Kind("v1", "Service", "services")
CLAIM = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
JOB = Kind("batch/v1", "Job", "jobs")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses")
ROUTE = Kind("route.openshift.io/v1", "Route", "routes")
OPERATOR_GROUP = Kind("operators.coreos.com/v1", "OperatorGroup", "operatorgroups")
SUBSCRIPTION = Kind("operators.coreos.com/v1alpha1", "Subscription", "subscriptions")
# An installed version of an operator.
SERVICE_VERSION = Kind(
    "operators.coreos.com/v1alpha1", "ClusterServiceVersion", "clusterserviceversions"
)
# An operator in a catalogue.
PACKAGE = Kind("packages.operators.coreos.com/v1", "PackageManifest", "packagemanifests")
QUAY_REGISTRY = Kind("quay.redhat.com/v1", "QuayRegistry", "quayregistries")
BUCKET_CLAIM = Kind("objectbucket.io/v1alpha1", "ObjectBucketClaim", "objectbucketclaims")
# What clients reach goes first, then what runs, and last what others need.
REMOVED: tuple[Kind, ...] = (
    ROUTE,
    INGRESS,
    DEPLOYMENT,
    JOB,
    DISRUPTION_BUDGET,
    SERVICE,
    NETWORK_POLICY,
    SERVICE_ACCOUNT,
)
# Only a purge removes these.
KEPT: tuple[Kind, ...] = (SECRET, CLAIM, CONFIG_MAP)


@dataclass(frozen=True)
class Object:
    """An object as it should be.

    ``content`` are its fields beside apiVersion, kind and metadata. It may be secret, and is never
    shown. ``component`` is the part of the registry that it belongs to.
    """

    kind: Kind
    name: str
    content: Mapping[str, Any] = field(repr=False)
    component: str
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name, as :func:`key_of` returns them."""
        return self.kind.name, self.name

    def __str__(self) -> str:
        return f"{self.kind.name} {self.name}"


@dataclass(frozen=True)
class Scope:
    """What all objects of a registry have in common.

    ``owner`` is the fingerprint of the registry's credentials, ``key`` a secret of theirs.
    """

    namespace: str
    instance: str
    owner: str
    key: str = field(repr=False)

    def labels(self, component: str) -> dict[str, str]:
        return {
            **self.selector(component),
            "app.kubernetes.io/managed-by": "quaylab",
            OWNER: self.owner,
        }

    def selector(self, component: str) -> dict[str, str]:
        """Return the labels that tell the pods of a component from all others in the namespace."""
        return {"app.kubernetes.io/instance": self.instance, COMPONENT: component}

    def digest(self, content: object) -> str:
        """Return a digest of a content that may be secret.

        It is keyed: whoever may read Deployments, but no Secrets, can't use it to try passwords.
        """
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hmac.digest(self.key.encode(), text.encode(), "sha256").hex()

    def manifest(self, wanted: Object) -> dict[str, Any]:
        """Return an object as the API takes it, with its labels and digest."""
        metadata: dict[str, Any] = {"name": wanted.name, "labels": self.labels(wanted.component)}
        if wanted.kind is not NAMESPACE:
            metadata["namespace"] = self.namespace
        described = {
            "apiVersion": wanted.kind.api_version,
            "kind": wanted.kind.name,
            "metadata": metadata,
            **wanted.content,
        }
        annotations = {**wanted.annotations, DIGEST: self.digest([described, wanted.annotations])}
        return described | {"metadata": {**metadata, "annotations": annotations}}


def secret_data(values: Mapping[str, str]) -> dict[str, str]:
    """Return a Secret's data. ``stringData`` would differ from what the server has in every run."""
    return {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}


def key_of(manifest: Manifest) -> tuple[str, str]:
    """Return an object's kind and name, by which it is told from the others in its namespace."""
    return manifest["kind"], manifest["metadata"]["name"]


def owner_of(manifest: Manifest) -> str | None:
    """Return the fingerprint of the registry that an object belongs to; None: to none."""
    owner: str | None = (manifest["metadata"].get("labels") or {}).get(OWNER)
    return owner


def is_ending(manifest: Manifest) -> bool:
    """Whether an object is being deleted, which nothing takes back."""
    return "deletionTimestamp" in manifest["metadata"]


def annotations_of(manifest: Manifest) -> Mapping[str, str]:
    """Return an object's annotations."""
    return manifest["metadata"].get("annotations") or {}


def digest_of(manifest: Manifest) -> str | None:
    """Return the digest of the description that an object was made from; None: it has none."""
    return annotations_of(manifest).get(DIGEST)


def differences(found: Manifest, wanted: Manifest) -> list[str]:
    """Return the paths of the fields in which two states of an object differ.

    Values are not shown, since they may be secret. What the server alone decides is left out.
    """
    return list(_differences(_ours(found), _ours(wanted), ""))


def _ours(manifest: Manifest) -> dict[str, Any]:
    metadata = {
        key: value for key, value in manifest.get("metadata", {}).items() if key not in _SERVERS
    }
    rest = {key: value for key, value in manifest.items() if key != "status"}
    return rest | {"metadata": metadata}


def _differences(found: object, wanted: object, path: str) -> Iterator[str]:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in sorted({*found, *wanted}):
            yield from _differences(found.get(key), wanted.get(key), f"{path}.{key}".strip("."))
    elif (
        isinstance(found, list)
        and isinstance(wanted, list)
        and len(found) == len(wanted)
        and found
        and all(isinstance(each, Mapping) for each in (*found, *wanted))
    ):
        for before, after in zip(found, wanted, strict=True):
            name = after.get("name", wanted.index(after))
            yield from _differences(before, after, f"{path}[{name}]")
    elif found != wanted:
        yield path
