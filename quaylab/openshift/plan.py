"""The plan of a run on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from quaylab.openshift import quay
from quaylab.openshift.cluster import Access, Cluster
from quaylab.openshift.description import NOTE, Description, describe
from quaylab.openshift.objects import CONFIG_MAP, Object, Scope
from quaylab.openshift.pods import Pods
from quaylab.plan import Plan

VERIFIED = "quaylab-verified"


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
    def schema(self) -> str | None:
        """The version of the database's schema when the run began; None: there is no database."""
        note = self.cluster.found.get((CONFIG_MAP.name, NOTE))
        return str(note["data"]["schema"]) if note else None

    @cached_property
    def description(self) -> Description:
        return describe(self.registry.context, self.scope, self.cluster.is_openshift, self.schema)

    def restoration(self, dump: str) -> Object:
        """Return the job that restores a dump."""
        settings = self.registry.settings
        pods = Pods(self.scope, self.cluster.is_openshift, bool(settings.pull_secret))
        return quay.restoration(self.registry.context, pods, dump)

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
