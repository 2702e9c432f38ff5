"""A cluster: how it is reached, what it answers, and which rights a run needs there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quaylab.openshift import objects
from quaylab.openshift.description import Description
from quaylab.openshift.objects import Kind
from quaylab.openshift.operator.description import KEPT_PARTS, REMOVED_PARTS, OperatorDescription
from quaylab.openshift.operator.state import OlmObject, Package
from quaylab.settings.loading import Settings

# The group of the API that only OpenShift has.
SECURITY = "security.openshift.io"
# Kubernetes' first version that is supported, as its minor number.
OLDEST = 25
# The first that knows a PodDisruptionBudget's unhealthyPodEvictionPolicy without a feature gate.
EVICTS_UNREADY = 27
VERBS = ("get", "list", "create", "patch", "delete")


@dataclass(frozen=True)
class Access:
    """How kubectl reaches the cluster. Nothing is left to its defaults."""

    kubeconfig: str
    context: str
    namespace: str

    @classmethod
    def of(cls, settings: Settings) -> Access:
        assert settings.openshift_kubeconfig and settings.openshift_context  # else it was refused
        return cls(
            settings.openshift_kubeconfig,
            settings.openshift_context,
            settings.openshift_namespace,
        )

    @property
    def options(self) -> tuple[str, ...]:
        return (
            f"--kubeconfig={self.kubeconfig}",
            f"--context={self.context}",
            f"--namespace={self.namespace}",
            # Of each request: a server that has died may never answer.
            "--request-timeout=30s",
        )


@dataclass(frozen=True)
class Right:
    """A right that a run needs. ``namespace`` is empty for objects outside of namespaces."""

    verb: str
    group: str
    resource: str
    namespace: str
    subresource: str = ""

    @property
    def name(self) -> str:
        """What it is a right to: ``deployments.apps``, ``pods/log``."""
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{name}/{self.subresource}" if self.subresource else name

    @property
    def review(self) -> dict[str, Any]:
        """The question whether the login has it."""
        attributes = {
            "verb": self.verb,
            "group": self.group,
            "resource": self.resource,
            "namespace": self.namespace,
            "subresource": self.subresource,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: text for key, text in attributes.items() if text}},
        }


@dataclass(frozen=True)
class Cluster:
    """What a cluster has.

    Attributes:
        groups: the groups of its API.
        phase: the namespace's phase; None: there is no namespace.
        storage_classes: whether each is the default, by name; None: the login may not list them.
        quotas: the namespace's ResourceQuotas.
        limit_ranges: its LimitRanges; None: the login may not list them.
        found: the objects of the description that are there, by kind and name.
        packages: Quay's operator in the catalogues that have it.
        olm_objects: what OLM has in the namespace, and the QuayRegistries there.
        has_database_claim: whether the claim of the operator's database is there.
        has_bucket_claim: whether that of its bucket is there.
        operators_data: the operator's claims and buckets that are known to be there.
    """

    server: str
    version: str
    groups: frozenset[str]
    phase: str | None
    storage_classes: Mapping[str, bool] | None
    quotas: tuple[Mapping[str, Any], ...] = ()
    limit_ranges: tuple[Mapping[str, Any], ...] | None = ()
    found: objects.Found = field(default_factory=dict, repr=False)
    packages: tuple[Package, ...] = ()
    olm_objects: tuple[OlmObject, ...] = ()
    has_database_claim: bool = False
    has_bucket_claim: bool = False
    operators_data: tuple[objects.Manifest, ...] = ()

    def has(self, kind: Kind) -> bool:
        """Whether the cluster's API has a kind; those of Kubernetes' core are everywhere."""
        return not kind.group or kind.group in self.groups

    @property
    def is_openshift(self) -> bool:
        return SECURITY in self.groups

    @property
    def has_cpu_limit(self) -> bool:
        """Whether containers without a limit of processors get one. Unknown is no refusal."""
        return self.limit_ranges is None or any(
            "cpu" in limit.get("default", {})
            for each in self.limit_ranges
            for limit in each["spec"]["limits"]
            if limit["type"] == "Container"
        )

    @property
    def evicts_unready(self) -> bool:
        """Whether a PodDisruptionBudget may let pods go that aren't ready."""
        return self.minor >= EVICTS_UNREADY

    @property
    def minor(self) -> int:
        """Kubernetes' minor version: 32 of v1.32.3."""
        return int(self.version.split(".")[1])


def rights(
    description: Description | OperatorDescription, cluster: Cluster, namespace: str
) -> list[Right]:
    """Return the rights that a run needs."""
    wanted = (*description.lasting, *description.jobs, description.note)
    kinds: dict[Kind, None] = dict.fromkeys(each.kind for each in wanted)
    found = [Right(verb, kind.group, kind.resource, namespace) for kind in kinds for verb in VERBS]
    # Objects of earlier descriptions are looked for, and removed.
    found += [
        Right(verb, kind.group, kind.resource, namespace)
        for kind in objects.REMOVED
        if kind not in kinds and cluster.has(kind)
        for verb in ("list", "delete")
    ]
    found += [
        Right("list", "", "pods", namespace),
        Right("get", "", "pods", namespace, "log"),
        Right("list", "", "events", namespace),
        Right("list", "", "resourcequotas", namespace),
    ]
    if isinstance(description, OperatorDescription):
        found += [
            Right(verb, kind.group, kind.resource, namespace)
            for kind, verbs in _of_the_operator(description).items()
            if kind not in kinds and (kind is not objects.ROUTE or cluster.has(kind))
            for verb in verbs
        ]
    if objects.ROUTE in kinds:
        # OpenShift lets only some choose a route's host.
        found.append(host_choice("create", namespace))
    if cluster.phase is None:
        found.append(Right("create", "", objects.NAMESPACE.resource, ""))
    return found


def host_choice(verb: str, namespace: str) -> Right:
    """Return the right to choose a route's host as it is made, or to change it."""
    return Right(verb, objects.ROUTE.group, objects.ROUTE.resource, namespace, "custom-host")


def _of_the_operator(description: OperatorDescription) -> dict[Kind, tuple[str, ...]]:
    """Return the rights on what OLM and the operator make: it is read, and removed at the end."""
    kinds = (objects.SERVICE_VERSION, *REMOVED_PARTS, *KEPT_PARTS)
    used = [each for each in kinds if each is not objects.BUCKET_CLAIM or description.makes_bucket]
    return {objects.PACKAGE: ("list",), **dict.fromkeys(used, ("get", "list", "delete"))}
