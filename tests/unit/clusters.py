"""A registry in a cluster, for unit tests."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quaylab import topology
from quaylab.openshift import description, layout
from quaylab.openshift.cluster import Cluster
from quaylab.openshift.description import Description
from quaylab.openshift.layout import GROUP
from quaylab.openshift.objects import Manifest, Object, Scope
from quaylab.openshift.operator import description as operator
from quaylab.openshift.operator.description import OperatorDescription
from quaylab.secrets.credentials import Credentials
from quaylab.services.base import Context
from tests.unit import samples

GIVEN: dict[str, Any] = {
    "openshift_kubeconfig": "/root/.kube/config",
    "openshift_context": "lab",
    "server_hostname": "quay.example.com",
}
S3: dict[str, Any] = {"storage": "s3", "storage_host": "objects.example.com"}
SCOPE = Scope("quay-enterprise", "quaylab", samples.CREDENTIALS.fingerprint, "a-key")
CLUSTER = Cluster(
    "https://api.example.com:6443",
    "v1.32.3",
    frozenset(
        {"apps", "batch", "networking.k8s.io", "policy"}
        | {"route.openshift.io", "security.openshift.io"}
    ),
    "Active",
    {"standard": True, "fast": False},
)


def context(**changes: Any) -> Context:
    """Return the context of a registry in a cluster."""
    data = {**GIVEN, **changes}
    hosts = [samples.host("@local", (GROUP,), **data)]
    where = layout.build(samples.settings(**data), topology.groups(hosts), hosts)
    credentials = _credentials(where.hostname, where.object_store is not None)
    return samples.context(where, credentials, **data)


@functools.cache
def _credentials(hostname: str, has_store: bool) -> Credentials:
    found = samples.certified(hostname)
    return samples.with_storage_keys(found) if has_store else found


def describe(
    is_openshift: bool = True,
    schema: str | None = None,
    found: Mapping[tuple[str, str], Manifest] = {},
    evicts_unready: bool = False,
    **changes: Any,
) -> Description:
    where = context(**changes)
    return description.describe(where, SCOPE, is_openshift, schema, found, evicts_unready)


def operate(is_openshift: bool = True, **changes: Any) -> OperatorDescription:
    """Return the objects of the operator method."""
    where = context(**{"openshift_method": "operator", **changes})
    return operator.describe(where, SCOPE, is_openshift, "openshift-marketplace")


def everything(found: Description | OperatorDescription) -> tuple[Object, ...]:
    return (found.namespace, *found.lasting, *found.jobs, found.note)


def manifests(found: Description | OperatorDescription) -> list[dict[str, Any]]:
    return [SCOPE.manifest(each) for each in everything(found)]


def pull_secret(folder: Path, registry: str = "quay.io") -> Path:
    """Write a config.json with a login."""
    path = folder / "config.json"
    path.write_text(f'{{"auths": {{"{registry}": {{"auth": "dXNlcjpwYXNz"}}}}}}')
    return path
