"""Settings of a registry in an OpenShift or Kubernetes cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from quaylab.settings.types import HostPath, Line, Section, Url, form

# The name of a namespace: a DNS label.
Namespace = Annotated[
    str, form(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "quay-enterprise"), Field(max_length=63)
]
# The name of most other objects: a DNS name.
ObjectName = Annotated[
    str, form(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "fast-ssd"), Field(max_length=253)
]


class OpenShift(Section):
    """OpenShift or Kubernetes, for tasks/openshift.py."""

    openshift_kubeconfig: HostPath | None = Field(
        description="File with the login to the cluster, on the host of group `openshift`"
    )
    openshift_context: Line | None = Field(
        description="The file's context for the cluster; its current context is never used"
    )
    openshift_server: Url | None = Field(
        description="The API server that the context has to lead to; None: the one of the last run"
    )
    openshift_namespace: Namespace = Field(
        description="Namespace (in OpenShift: project) of the registry, which is made if it is "
        "missing"
    )
    openshift_method: Literal["template", "operator"] = Field(
        description="How the registry is made: by Quaylab's own objects (template), or by Quay's "
        "operator (operator)"
    )
    openshift_catalogue: ObjectName = Field(
        description="Catalogue that the operator is installed from"
    )
    openshift_operator: ObjectName = Field(
        description="The operator's package in that catalogue; in community-operators it is "
        "project-quay"
    )
    openshift_exposure: Literal["route", "ingress", "loadbalancer"] | None = Field(
        description="How clients reach the registry; None: a route, which only OpenShift has"
    )
    openshift_replicas: int | None = Field(
        ge=1, le=20, description="Pods of Quay; None: 2, with the blobs in a volume 1"
    )
    openshift_memory_mb: int = Field(
        ge=3072,
        le=16777216,
        description="MB of memory of each pod of Quay; with one worker it uses 2200",
    )
    openshift_storage_class: ObjectName | None = Field(
        description="Storage class of the volumes; None: the cluster's default"
    )
    openshift_database_gb: int = Field(
        ge=1, le=65536, description="GB of the database's volume, and of that of its dumps"
    )
    openshift_blobs_gb: int = Field(
        ge=1, le=1048576, description="GB of the blobs' volume, if there is no object store"
    )
