"""A cluster for the real kubectl, and a registry that answers where the cluster leads clients."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import Project, Result
from tests.openshift import api
from tests.openshift.api import Api
from tests.openshift.controllers import Controllers
from tests.openshift.quay import Quay
from tests.openshift.storage import Manifest
from tests.ports import free_port

NAMESPACE, HOSTNAME = "quay-enterprise", "quay.example.com"
TASK = "tasks/openshift.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if items and shutil.which("kubectl") is None:
        pytest.exit("kubectl is missing: install Debian's package kubernetes-client", 3)


@dataclass
class Site:
    """A project with a cluster.

    ``quay`` is what answers as the registry, once its deployment is ready; ``settings`` are those
    of the inventory.
    """

    project: Project
    api: Api
    controllers: Controllers
    quay: Quay
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.project.path

    def run(self, *options: str, task: str = TASK, until: str | None = None) -> Result:
        inventory = self.project.inventory(openshift=[("@local", self.settings)])
        arguments = [] if "--dry" in options else ["-y"]
        # Each run starts kubectl some twenty times.
        return self.project.run(*arguments, inventory, task, *options, until=until, timeout=180)

    def dry(self) -> list[str]:
        """Return the operations that a run would change something with."""
        return self.run("--dry", "--json").plan

    def objects(self, plural: str, namespace: str = NAMESPACE) -> dict[str, Manifest]:
        return {
            name: manifest
            for (kind, where, name), manifest in self.api.storage.objects.items()
            if (kind, where) == (plural, namespace)
        }


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A project with an empty cluster, whose load balancers have this machine's loopback."""
    monkeypatch.setenv("KUBECACHEDIR", str(tmp_path / "cache"))
    port = free_port()
    with api.serving(tmp_path) as cluster:
        controllers = Controllers(cluster)
        cluster.add(
            "storageclasses",
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": "standard",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": "double",
            },
        )
        settings = {
            "openshift_kubeconfig": str(tmp_path / "kubeconfig"),
            "openshift_context": "lab",
            "openshift_exposure": "loadbalancer",
            "server_hostname": HOSTNAME,
            "quay_https_port": port,
            "health_timeout": 20,
        }
        quay = Quay(cluster, port)
        controllers.ready = quay.follow
        yield Site(Project(tmp_path), cluster, controllers, quay, settings)
        quay.close()
