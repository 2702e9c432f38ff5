"""The plan of a run on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from quaylab.openshift import quay
from quaylab.openshift.cluster import Access, Cluster
from quaylab.openshift.description import NOTE, Description, describe
from quaylab.openshift.layout import REGISTRY, is_operated
from quaylab.openshift.objects import CONFIG_MAP, QUAY_REGISTRY, Object, Scope
from quaylab.openshift.operator import description as operator
from quaylab.openshift.operator.description import OperatorDescription
from quaylab.openshift.operator.state import current_version, noted_version
from quaylab.openshift.pods import Pods
from quaylab.plan import Plan

VERIFIED = "quaylab-verified"
# Where OpenShift has its catalogues of operators.
MARKETPLACE = "openshift-marketplace"


@dataclass(frozen=True)
class ClusterPlan:
    """The desired state of a registry in a cluster, and what is there.

    ``registry`` is the plan of the registry as on machines, without any.
    """

    registry: Plan
    access: Access
    cluster: Cluster

    @property
    def scope(self) -> Scope:
        return scope_of(self.registry)

    @property
    def is_operated(self) -> bool:
        """Whether Quay's operator makes the registry."""
        return is_operated(self.registry.settings)

    @property
    def schema(self) -> str | None:
        """What the note says of the database's schema when the run began: its version, or which
        restore or migration has begun; None: there is no database."""
        found = self.cluster.found
        note = found.get((CONFIG_MAP.name, NOTE))
        if self.is_operated:
            version = current_version(found.get((QUAY_REGISTRY.name, REGISTRY)))
            return version or noted_version(note, found.get((CONFIG_MAP.name, VERIFIED))) or None
        return (note["data"].get("schema") or None) if note else None

    @property
    def description(self) -> Description | OperatorDescription:
        return self.operator if self.is_operated else self.template

    @cached_property
    def template(self) -> Description:
        """The objects of the template method."""
        cluster = self.cluster
        return describe(
            self.registry,
            self.scope,
            cluster.is_openshift,
            self.schema,
            cluster.found,
            cluster.evicts_unready,
        )

    @cached_property
    def operator(self) -> OperatorDescription:
        """The objects of the operator method."""
        catalogue = self.registry.settings.openshift_catalogue
        known = {each.catalogue: each.namespace for each in self.cluster.packages}
        return operator.describe(
            self.registry,
            self.scope,
            self.cluster.is_openshift,
            known.get(catalogue, MARKETPLACE),
        )

    def restoration(self, dump: str) -> Object:
        """Return the job that restores a dump."""
        return quay.restoration(self.registry, self._pods, dump)

    def dump_check(self, dump: str) -> Object:
        """Return the job that looks whether a dump can be restored."""
        return quay.dump_check(self.registry, self._pods, dump)

    @property
    def _pods(self) -> Pods:
        has_logins = bool(self.registry.settings.pull_secret)
        return Pods(self.scope, self.cluster.is_openshift, has_logins)

    @property
    def migrates(self) -> bool:
        return self.schema != self.registry.version


def scope_of(registry: Plan) -> Scope:
    credentials = registry.credentials
    return Scope(
        registry.settings.openshift_namespace,
        registry.settings.lab_name,
        credentials.fingerprint,
        credentials.secret_key.get_secret_value(),
    )


def verification(deployment: str) -> Object:
    """Return the note of the deployment that was verified last."""
    return Object(CONFIG_MAP, VERIFIED, {"data": {"quay": deployment}}, quay.COMPONENT)
