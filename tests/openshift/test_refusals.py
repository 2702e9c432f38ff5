"""What is refused before anything is made, and what an error says of pods that don't run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.openshift.conftest import HOSTNAME, NAMESPACE, Site
from tests.openshift.storage import Manifest, Refused


def _namespace(phase: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE},
        "status": {"phase": phase},
    }


def _quota(site: Site) -> None:
    site.api.add("namespaces", _namespace("Active"))
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "status": {"hard": {"requests.memory": "1Gi"}, "used": {"requests.memory": "0"}},
    }
    site.api.add("resourcequotas", quota, NAMESPACE)


def _foreign(site: Site) -> None:
    site.api.add("namespaces", _namespace("Active"))
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "quaylab-database"}}
    site.api.add("secrets", secret, NAMESPACE)


def _refused_by_admission(site: Site) -> None:
    site.api.add("namespaces", _namespace("Active"))

    def admit(plural: str, manifest: Manifest) -> None:
        if plural == "persistentvolumeclaims":
            raise Refused(403, "Forbidden", "admission webhook denied the request: no claims here")

    site.api.storage.admission.append(admit)


def _no_routes(site: Site) -> None:
    for group in [each for each in site.api.kinds if "openshift" in each]:
        del site.api.kinds[group]
    site.settings |= {"openshift_exposure": None, "quay_https_port": 443}


def _no_default_class(site: Site) -> None:
    site.api.storage.objects.clear()


def _set(**settings: Any) -> Callable[[Site], None]:
    return lambda site: site.settings.update(settings)


def _deny(*rights: str) -> Callable[[Site], None]:
    return lambda site: site.api.denied.update(rights)


def _expire(site: Site) -> None:
    site.api.token = "another"


def _die(site: Site) -> None:
    site.api.before = lambda request: True


@pytest.mark.parametrize(
    ("prepare", "lines"),
    [
        (
            _set(openshift_context="nosuch"),
            ["openshift_context: there is no context nosuch in", "it has: another, lab"],
        ),
        (
            _set(openshift_kubeconfig="/nonexistent/config"),
            ["openshift_kubeconfig: /nonexistent/config on @local is not there"],
        ),
        (_expire, ["openshift_kubeconfig: the login of lab in", "or has expired; log in again"]),
        (_die, ["openshift_context: lab on @local: Unable to connect to the server: EOF"]),
        (
            _deny("create secrets", "delete secrets", "patch deployments", "get pods/log"),
            [
                "lab may not create, delete secrets in quay-enterprise",
                "lab may not patch deployments.apps in",
                "lab may not get pods/log in",
            ],
        ),
        (_deny("list ingresses"), ["lab may not list ingresses.networking.k8s.io in"]),
        (_deny("create namespaces"), ["openshift_namespace: there is no quay-enterprise that"]),
        (
            lambda site: site.api.add("namespaces", _namespace("Terminating")),
            ["openshift_namespace: quay-enterprise is being deleted"],
        ),
        (_quota, ["openshift_namespace: the quota small leaves requests.memory"]),
        (_foreign, ["Secret quaylab-database is there already and was not made by Quaylab"]),
        (_refused_by_admission, ["openshift: the cluster refuses it", "no claims here"]),
        (_no_routes, ["has no routes, which only OpenShift has"]),
        (_no_default_class, ["openshift_storage_class: not set, and none of the cluster's"]),
        (
            _set(openshift_server="https://other.example.com:6443"),
            ["openshift_server: https://other.example.com:6443, but the context leads to"],
        ),
    ],
    ids=[
        "context", "file", "expired", "dead", "rights", "former", "namespace", "deleted", "quota",
        "foreign", "admission", "routes", "class", "server",
    ],
)  # fmt: skip
def test_refused_before_anything_is_made(
    site: Site, prepare: Callable[[Site], None], lines: list[str]
) -> None:
    prepare(site)
    result = site.run()
    assert result.code != 0
    for line in lines:
        assert line in result.output
    assert "nothing was changed" in result.output
    assert "Traceback" not in result.output
    assert site.api.writes == []
    assert not site.project.credentials.exists()


def test_another_server_than_the_last_runs(site: Site) -> None:
    assert site.run().code == 0
    file = site.folder / "kubeconfig"
    moved = site.api.url.replace("127.0.0.1", "localhost")
    file.write_text(file.read_text().replace(site.api.url, moved))
    other = site.run()
    assert f"but this registry is at {site.api.url}" in other.output
    confirmed = site.run("--data", f"openshift_server={moved}")
    assert confirmed.code == 0, confirmed.output


def test_another_namespace_than_the_last_runs(site: Site) -> None:
    assert site.run().code == 0
    site.settings["openshift_namespace"] = "another"
    teardown = "tasks/teardown_openshift.py"
    purge = ("--data", f"purge={HOSTNAME}")
    for task in ("tasks/openshift.py", teardown):
        other = site.run(*purge if task == teardown else (), task=task)
        assert "another, but this registry is in quay-enterprise; set it back" in other.output
    confirmed = site.run("--data", f"openshift_server={site.api.url}", *purge, task=teardown)
    assert confirmed.code == 0, confirmed.output
    assert "nothing of this registry was in namespace another" in confirmed.output
    assert site.project.credentials.exists()


def test_the_deploy_of_machines_is_refused(site: Site) -> None:
    result = site.run(task="deploy.py")
    assert result.code != 0
    assert "run tasks/openshift.py, or ./lab" in result.output


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("image", ["quaylab-quay does not run", "quay: ImagePullBackOff: Back-off pulling image"]),
        ("crash", ["CrashLoopBackOff: ended with 255", "| FATAL: the schema is older"]),
        ("scc", ["unable to validate against any security context constraint"]),
        # Until a pod that is to go has ended, it counts as well.
        ("quota", ["does not get on within 20 s", "exceeded quota: small"]),
        (
            "pending",
            [
                "does not get on within 20 s",
                "not scheduled: 0/3 nodes are available: 3 Insufficient",
            ],
        ),
        (
            "mount",
            [
                "does not get on within 20 s",
                "quay: ContainerCreating",
                'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached',
            ],
        ),
        (
            "unprovisioned",
            [
                "not scheduled yet",
                "quaylab-quay-storage: failed to provision volume with StorageClass",
            ],
        ),
        (
            "starting",
            [
                "quay runs and is not ready",
                "Readiness probe failed: HTTP probe failed with statuscode: 502",
                "| FATAL: the schema is older",
            ],
        ),
    ],
)
def test_pods_that_do_not_run(site: Site, fault: str, lines: list[str]) -> None:
    site.controllers.faults["quaylab-quay"] = fault
    text = "FATAL: the schema is older"
    site.api.logs = {f"quaylab-quay-{number:05}": text for number in range(9)}
    result = site.run()
    assert result.code != 0
    for line in lines:
        assert line in result.output
    if fault in ("image", "crash", "scc", "quota"):
        # The cluster would try it again after minutes.
        site.controllers.faults.clear()
        mended = site.run()
        assert mended.code == 0, mended.output


def test_a_migration_that_fails_is_run_again(site: Site) -> None:
    site.controllers.faults["quaylab-migrate"] = "fails"
    result = site.run()
    assert result.code != 0
    assert "quaylab-migrate-v3-18-0 does not run" in result.output
    assert "connection to server at quaylab-database failed" in result.output
    assert "quaylab-quay" not in site.objects("deployments")
    site.controllers.faults.clear()
    again = site.run()
    assert again.code == 0, again.output
    assert "DELETE jobs quaylab-migrate-v3-18-0" in site.api.writes


def test_an_image_that_is_missing_and_then_corrected(site: Site) -> None:
    site.settings["quay_image"] = "quay.io/projectquay/qay"
    site.controllers.missing_images.add("quay.io/projectquay/qay:v3.18.0")
    failed = site.run()
    assert failed.code != 0
    assert "ImagePullBackOff" in failed.output
    del site.settings["quay_image"]
    # That of the migration, before which another container has run, is missing next.
    site.controllers.faults["quaylab-migrate"] = "image"
    assert "quaylab-migrate-v3-18-0 does not run" in site.run().output
    site.controllers.faults.clear()
    corrected = site.run()
    assert corrected.code == 0, corrected.output
    assert site.dry() == []


def test_a_job_that_gets_no_pod(site: Site) -> None:
    site.controllers.faults["quaylab-migrate"] = "scc"
    result = site.run()
    assert result.code != 0
    assert "quaylab-migrate-v3-18-0 does not run" in result.output
    assert "unable to validate against any security context constraint" in result.output
    site.controllers.faults.clear()
    again = site.run()
    assert again.code == 0, again.output


def test_a_job_waits_for_room_in_a_quota(site: Site) -> None:
    site.controllers.faults["quaylab-migrate"] = "quota"
    looks: list[str] = []

    def before(request: str) -> bool:
        looks.extend([request] if request.endswith("/events") else [])
        if len(looks) == 3 and site.controllers.faults:
            with site.api.storage.lock:
                site.controllers.faults.clear()
                site.controllers.pass_time()
        return False

    site.api.before = before
    result = site.run()
    assert result.code == 0, result.output
    assert len(looks) >= 3


def test_a_quota_that_was_lowered_after_the_first_run(site: Site) -> None:
    assert site.run().code == 0
    # Three pods run, and a new Redis waits until the old one has gone.
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "status": {"hard": {"pods": "2"}, "used": {"pods": "3"}},
    }
    site.api.add("resourcequotas", quota, NAMESPACE)
    site.settings["redis_image"] = "quay.io/sclorg/redis-7-c9s:other"
    result = site.run()
    assert result.code != 0
    assert "quaylab-redis does not get on within 20 s" in result.output
    assert "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2" in (
        result.output
    )
    quota["status"]["hard"]["pods"] = "3"  # type: ignore[index]
    mended = site.run()
    assert mended.code == 0, mended.output


def test_a_route_whose_host_is_taken(site: Site) -> None:
    site.controllers.refused_hosts["quay.example.com"] = "route other already exposes it"
    site.settings |= {"openshift_exposure": None, "quay_https_port": 443}
    result = site.run()
    assert result.code != 0
    assert "the router refuses quay.example.com: HostAlreadyClaimed" in result.output


def test_a_server_that_dies_while_a_deployment_is_waited_for(site: Site) -> None:
    site.controllers.faults["quaylab-redis"] = "starting"

    def before(request: str) -> bool:
        return "quaylab-redis" in site.objects("deployments")

    site.api.before = before
    result = site.run()
    assert result.code != 0
    assert "the cluster does not answer" in result.output
    site.api.before = lambda request: False
    site.controllers.faults.clear()
    site.controllers.pass_time()
    assert site.run().code == 0


def test_a_slow_server(site: Site) -> None:
    def wait(request: str) -> bool:
        time.sleep(0.05)
        return False

    site.api.before = wait
    assert site.run().code == 0
