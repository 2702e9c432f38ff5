"""Pieces of pods: what the restricted security context constraint of OpenShift admits.

It takes the place of the user's and the groups' ids: OpenShift gives each namespace a range of its
own, and refuses others. https://docs.openshift.com: "Managing security context constraints".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quaylab.openshift.objects import CONFIGURATION, Scope

ACCOUNT = "quaylab"
PULL_SECRET = "quaylab-pull-secret"
# The group of mounted volumes, on a cluster that has no range for it; the images' users are in
# group 0 as well, so the number itself means nothing.
GROUP_OF_VOLUMES = 1001


@dataclass(frozen=True)
class Pods:
    """How a cluster's pods are made.

    Attributes:
        is_openshift: whether the cluster gives them their users and groups.
        has_logins: whether their images need the logins of the pull secret.
    """

    scope: Scope
    is_openshift: bool
    has_logins: bool

    def template(
        self, component: str, spec: Mapping[str, Any], configuration: object
    ) -> dict[str, Any]:
        """Return a pod's template.

        Args:
            configuration: what is mounted and read only at the start; a change replaces the pod.
        """
        security: dict[str, Any] = {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            # A group's rights on millions of blobs are set once, and not at every start.
            "fsGroupChangePolicy": "OnRootMismatch",
        }
        if not self.is_openshift:
            security["fsGroup"] = GROUP_OF_VOLUMES
        # Not in the service account: there OpenShift adds secrets of its own.
        logins = {"imagePullSecrets": [{"name": PULL_SECRET}]} if self.has_logins else {}
        return {
            "metadata": {
                "labels": self.scope.labels(component),
                "annotations": {CONFIGURATION: self.scope.digest(configuration)},
            },
            "spec": {
                "serviceAccountName": ACCOUNT,
                # Nothing in the pods asks the API.
                "automountServiceAccountToken": False,
                # Variables of all Services, which may be named as Quay's own.
                "enableServiceLinks": False,
                **logins,
                "securityContext": security,
                **spec,
            },
        }


def container(name: str, image: str, **more: Any) -> dict[str, Any]:
    """Return a container without privileges."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
        },
        **more,
    }


def resources(cpu: str, memory_mb: int) -> dict[str, Any]:
    """Return what a container is scheduled by. Memory is limited, processors are shared."""
    memory = f"{memory_mb}Mi"
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def environment(values: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def secret_environment(secret: str, keys: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return variables that are read from a Secret, each with its key there."""
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, key in keys.items()
    ]


def shell(script: str) -> list[str]:
    return ["bash", "-c", script]
