"""A registry in a cluster: from nothing to its removal, by the real kubectl."""

from __future__ import annotations

import os

import pytest

from quaylab.secrets.credentials import Store
from tests.leaks import leaked, secrets_of
from tests.openshift.conftest import HOSTNAME, NAMESPACE, Site
from tests.openshift.storage import Manifest

MIGRATED = "quaylab-migrate-v3-18-0"
OPERATIONS = [
    "Save the credentials",
    "Create the namespace",
    "Write secrets, claims, services and network policies",
    "Run the database",
    "Run Redis",
    "Check from inside the cluster what Quay connects to",
    "Migrate the database's schema",
    "Record the schema's version, and where rows and blobs are",
    "Run Quay",
    "Lead clients to Quay",
    "Remove objects that are no longer described",
    "Wait until the registry answers at its address",
    "Create the superuser",
    "Verify: log in, push, pull, delete",
    "Print the summary",
]


def _edited(site: Site, plural: str, name: str, change: Manifest) -> None:
    """Change an object as `kubectl patch` does."""
    storage = site.api.storage
    live = storage.get((plural, NAMESPACE, name))
    for key, value in change.items():
        live[key] = {**live[key], **value}
    storage.replace((plural, NAMESPACE, name), live, "kubectl-patch")


def _schema(site: Site) -> str:
    """Return what the note says of the database's schema."""
    return str(site.objects("configmaps")["quaylab-registry"]["data"]["schema"])


def test_from_nothing(site: Site) -> None:
    planned = site.dry()
    assert planned == [each for each in OPERATIONS if each not in (
        "Remove objects that are no longer described", "Print the summary"
    )]  # fmt: skip
    assert site.api.writes == []
    assert not site.project.credentials.exists()

    first = site.run("-vvv")
    assert first.code == 0, first.output
    assert first.operations == OPERATIONS
    secrets = secrets_of(Store("quaylab", site.project.credentials.parent).load(environment={}))
    assert leaked(secrets, first.output) == []
    assert site.api.url in first.output
    assert "https://127.0.0.1:9" not in first.output

    site.api.writes.clear()
    second = site.run()
    assert second.code == 0, second.output
    assert site.api.writes == []
    assert site.dry() == []


def test_drift_is_named_and_repaired(site: Site) -> None:
    assert site.run().code == 0
    _edited(site, "deployments", "quaylab-redis", {"spec": {"replicas": 3}})
    _edited(site, "secrets", "quaylab-redis", {"data": {"password": "eA=="}})
    site.api.storage.delete(("services", NAMESPACE, "quaylab-database"))
    # What others add is theirs.
    labels = site.objects("configmaps")["quaylab-registry"]["metadata"]["labels"]
    more = {"metadata": {"labels": {**labels, "team": "images"}}}
    _edited(site, "configmaps", "quaylab-registry", more)

    status = site.run(task="tasks/status_openshift.py")
    assert status.code == 0, status.output
    assert "Deployment quaylab-redis: changed: spec.replicas" in status.stdout
    assert "Secret quaylab-redis: changed: data.password" in status.stdout
    assert "Service quaylab-database: missing" in status.stdout
    assert site.dry() == [
        "Write secrets, claims, services and network policies",
        "Run Redis",
    ]

    assert site.run().code == 0
    assert site.objects("deployments")["quaylab-redis"]["spec"]["replicas"] == 1
    assert site.objects("configmaps")["quaylab-registry"]["metadata"]["labels"]["team"] == "images"
    assert site.dry() == []


def test_pods_that_started_with_another_secret_are_replaced(site: Site) -> None:
    assert site.run().code == 0
    _edited(site, "secrets", "quaylab-quay-bundle", {"data": {"config.yaml": "eA=="}})
    # They may have been started again meanwhile.
    site.controllers.pass_time()
    assert site.dry() == ["Write secrets, claims, services and network policies", "Run Quay"]
    # A run that is killed before it has replaced them is finished by the next.
    site.run("-v", until="Run the database")
    assert site.dry() == ["Run Quay"]
    repaired = site.run()
    assert repaired.code == 0, repaired.output
    assert "PATCH deployments quaylab-quay" in site.api.writes
    assert site.dry() == []


def test_a_database_that_only_the_cluster_knows(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUAYLAB_DATABASE_PASSWORD", "Abcdefgh12345678")
    site.settings["database_host"] = "pg-rw.databases.svc"
    result = site.run()
    assert result.code == 0, result.output
    assert "quaylab-database" not in site.objects("deployments")
    said = " ".join(result.output.replace("│", "").split())
    assert "addresses and the logins of Database from inside the cluster" in said
    assert site.dry() == []
    status = site.run(task="tasks/status_openshift.py")
    assert status.code == 0, status.output


def test_evicted_pods_that_linger(site: Site) -> None:
    assert site.run().code == 0
    for deployment in ("quaylab-database", "quaylab-redis"):
        site.controllers.evict(NAMESPACE, deployment)
    assert site.dry() == []
    # Neither what became of them counts, nor when they were started.
    _edited(site, "secrets", "quaylab-redis", {"data": {"password": "eA=="}})
    assert site.run().code == 0
    assert site.dry() == []


def test_a_deployment_that_is_scaled_to_no_pods_is_broken(site: Site) -> None:
    assert site.run().code == 0
    _edited(site, "deployments", "quaylab-redis", {"spec": {"replicas": 0}})
    status = site.run(task="tasks/status_openshift.py")
    assert status.code != 0
    assert "scaled to 0 pods; ./lab up brings them back" in " ".join(status.stdout.split())
    assert site.run().code == 0
    assert site.objects("deployments")["quaylab-redis"]["spec"]["replicas"] == 1


def test_what_is_described_no_more_is_removed(site: Site) -> None:
    assert site.run().code == 0
    site.api.add("services", {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "of-others"},
        "spec": {"type": "ClusterIP"},
    }, NAMESPACE)  # fmt: skip
    site.settings["openshift_exposure"] = "route"
    site.settings["quay_https_port"] = 443
    result = site.run("--dry")
    assert result.code == 0, result.output
    site.run(until="Wait until the registry answers at its address")  # where nobody listens
    assert "quaylab-quay-public" not in site.objects("services")
    assert "of-others" in site.objects("services")
    assert "quaylab-quay" in site.objects("routes")


def test_upgrade(site: Site) -> None:
    site.settings["quay_version"] = "v3.17.4"
    assert site.run().code == 0
    assert not [name for name in site.objects("jobs") if "dump" in name]
    site.settings["quay_version"] = "v3.18.0"
    site.api.writes.clear()
    result = site.run()
    assert result.code == 0, result.output
    wanted = ("jobs quaylab-dump", "jobs quaylab-migrate", "deployments quaylab-quay")
    changed = [
        each
        for each in site.api.writes
        if each.startswith("PATCH") and any(one in each for one in wanted)
    ]
    assert changed == [
        "PATCH jobs quaylab-dump-v3-17-4-to-v3-18-0",
        f"PATCH jobs {MIGRATED}",
        "PATCH deployments quaylab-quay",
    ]
    assert site.objects("configmaps")["quaylab-registry"]["data"]["schema"] == "v3.18.0"
    assert MIGRATED in site.objects("jobs")
    assert "quaylab-migrate-v3-17-4" not in site.objects("jobs")
    assert site.dry() == []

    site.settings["quay_version"] = "v3.17.4"
    back = site.run()
    assert back.code != 0
    assert "Quay knows no way back to v3.17.4" in back.output
    assert "restore the dump that was made before the upgrade: tasks/restore_openshift.py" in (
        back.output
    )

    restore = "tasks/restore_openshift.py"
    unnamed = site.run(task=restore)
    assert "restore: not set; name the dump as the upgrade did" in unnamed.output
    # Another place of the blobs would be noted.
    site.settings |= {"storage": "local", "storage_location": "other"}
    moved = site.run("--data", "restore=v3.17.4-to-v3.18.0", task=restore)
    assert "storage: Quay's blobs are in 'default local'" in moved.output
    del site.settings["storage"], site.settings["storage_location"]
    # And so would another database, also by a deploy.
    site.settings["database_user"] = "other"
    other = site.run("--data", "restore=v3.17.4-to-v3.18.0", task=restore)
    for result in (other, site.run()):
        assert "database_user: Quay's database is 'own quay quay'" in result.output
    del site.settings["database_user"]
    # A name that is mistyped.
    site.controllers.faults["quaylab-check"] = "fails"
    absent = site.run("--data", "restore=v3.17.3-to-v3.18.0", task=restore)
    assert absent.code != 0
    assert "quaylab-check-v3-17-3-to-v3-18-0 does not run" in absent.output
    assert "quaylab-quay" in site.objects("deployments")
    assert site.objects("configmaps")["quaylab-registry"]["data"]["schema"] == "v3.18.0"
    site.controllers.faults.clear()
    restored = site.run("--data", "restore=v3.17.4-to-v3.18.0", task=restore)
    assert restored.code == 0, restored.output
    assert "quaylab-quay" not in site.objects("deployments")
    (command,) = [line for line in restored.output.splitlines() if "  pyinfra " in line]
    assert " tasks/openshift.py " in command
    assert command.endswith("--data quay_version=v3.17.4")
    assert site.objects("configmaps")["quaylab-registry"]["data"]["schema"] == "v3.17.4"
    assert site.run().code == 0
    image = site.objects("deployments")["quaylab-quay"]["spec"]["template"]["spec"]["containers"]
    assert image[0]["image"].endswith(":v3.17.4")


def test_an_upgrade_whose_migration_fails(site: Site) -> None:
    site.settings["quay_version"] = "v3.17.4"
    assert site.run().code == 0
    site.settings["quay_version"] = "v3.18.0"
    # An image that isn't there is found out before.
    site.controllers.missing_images.add("quay.io/projectquay/quay:v3.18.0")
    assert "ImagePullBackOff" in site.run().output
    assert _schema(site) == "v3.17.4"
    site.controllers.missing_images.clear()
    site.controllers.faults["quaylab-migrate"] = "fails"
    failed = site.run()
    assert "quaylab-migrate-v3-18-0 does not run" in failed.output
    assert _schema(site) == "migrating v3.17.4 to v3.18.0"

    # Nothing serves on a database whose migration has begun, and nothing of it is removed.
    site.settings["quay_version"] = "v3.17.4"
    site.api.writes.clear()
    back = site.run()
    assert "the database's migration from v3.17.4 to v3.18.0 has begun and not ended" in back.output
    assert site.api.writes == []
    dump = "quaylab-dump-v3-17-4-to-v3-18-0"
    assert dump in site.objects("jobs")

    site.controllers.faults.clear()
    site.settings["quay_version"] = "v3.18.0"
    finished = site.run()
    assert finished.code == 0, finished.output
    # The dump of the old schema is the only one.
    assert f"PATCH jobs {dump}" not in site.api.writes
    assert _schema(site) == "v3.18.0"
    assert site.dry() == []


def test_a_restore_after_a_migration_that_was_cut_off_and_a_teardown(site: Site) -> None:
    site.settings["quay_version"] = "v3.17.4"
    assert site.run().code == 0
    site.settings["quay_version"] = "v3.18.0"
    site.controllers.faults["quaylab-migrate"] = "starting"
    # The run is cut off while the migration runs.
    site.api.before = lambda request: MIGRATED in site.objects("jobs")
    assert "the cluster does not answer" in site.run().output
    site.api.before = lambda request: False
    assert MIGRATED in site.objects("jobs")

    # Nobody ends it, not even if somebody has noted the old version by hand.
    _edited(site, "configmaps", "quaylab-registry", {"data": {"schema": "v3.17.4"}})
    site.settings["quay_version"] = "v3.17.4"
    old = site.run()
    assert old.code == 0, old.output
    assert MIGRATED in site.objects("jobs")

    restore, name = "tasks/restore_openshift.py", "restore=v3.17.4-to-v3.18.0"
    site.api.writes.clear()
    site.run(
        "-v",
        "--data",
        name,
        task=restore,
        until="Stop a migration or another restore that has begun",
    )
    assert _schema(site) == "restoring v3.17.4-to-v3.18.0"
    # What a restore needs is made again after a teardown.
    assert site.run(task="tasks/teardown_openshift.py").code == 0
    assert "quaylab-database" not in site.objects("deployments")
    restored = site.run("--data", name, task=restore)
    assert restored.code == 0, restored.output
    assert f"DELETE jobs {MIGRATED}" in site.api.writes
    up = site.run()
    assert up.code == 0, up.output
    assert _schema(site) == "v3.17.4"


def test_a_restore_that_was_cut_off_replaces_nothing_later(site: Site) -> None:
    for version in ("v3.16.5", "v3.17.4", "v3.18.0"):
        site.settings["quay_version"] = version
        assert site.run().code == 0
    restore, wrong = "tasks/restore_openshift.py", "quaylab-restore-v3-16-5-to-v3-17-4"
    site.controllers.faults["quaylab-restore"] = "pending"
    waiting = site.run("--data", "restore=v3.16.5-to-v3.17.4", task=restore)
    assert "not scheduled: 0/3 nodes are available" in waiting.output

    # The present database is to be kept, and it is not known yet which one that is.
    _edited(site, "configmaps", "quaylab-registry", {"data": {"schema": "v3.18.0"}})
    for fault in ("pending", "starting"):
        site.controllers.faults["quaylab-restore"] = fault
        site.controllers.pass_time()
        kept = site.run()
        assert kept.code != 0
        assert f"restore: the Job {wrong} has not ended, and may still replace" in kept.output
        assert "nothing was changed" in kept.output

    # Another one ends it.
    site.controllers.faults.clear()
    site.api.writes.clear()
    restored = site.run("--data", "restore=v3.17.4-to-v3.18.0", task=restore)
    assert restored.code == 0, restored.output
    changed = [each for each in site.api.writes if " jobs quaylab-restore" in each]
    assert changed == [
        f"DELETE jobs {wrong}",
        "PATCH jobs quaylab-restore-v3-17-4-to-v3-18-0",
    ]
    site.settings["quay_version"] = "v3.17.4"
    up = site.run()
    assert up.code == 0, up.output
    assert _schema(site) == "v3.17.4"


def test_claims_grow_once_they_are_bound(site: Site) -> None:
    assert site.run().code == 0
    site.settings["openshift_database_gb"] = 30
    grown = site.run()
    assert grown.code == 0, grown.output
    sizes = {
        name: claim["spec"]["resources"]["requests"]["storage"]
        for name, claim in site.objects("persistentvolumeclaims").items()
    }
    # No dump was made yet, so nothing has bound its claim.
    assert sizes["quaylab-database"] == "30Gi"
    assert sizes["quaylab-dumps"] == "10Gi"
    assert "its volume has" not in grown.output
    assert site.dry() == []
    site.settings["openshift_database_gb"] = 5
    shrunk = site.run()
    assert shrunk.code != 0
    assert "1 problem, nothing was changed" in shrunk.output
    assert "less than status.capacity" in shrunk.output


def test_a_volume_that_does_not_grow(site: Site) -> None:
    assert site.run().code == 0
    site.controllers.stuck_volumes.add("quaylab-database")
    site.settings["openshift_database_gb"] = 30
    grown, status = site.run(), site.run(task="tasks/status_openshift.py")
    for each in (grown, status):
        assert each.code == 0, each.output
        said = " ".join(each.output.replace("│", "").split())
        assert "PersistentVolumeClaim quaylab-database: its volume has 10Gi of 30Gi" in said
        assert "FileSystemResizePending: Waiting for user to (re-)start a pod" in said
        assert "no space left in the pool" in said
    site.controllers.stuck_volumes.clear()
    site.controllers.pass_time()
    assert "its volume has" not in site.run(task="tasks/status_openshift.py").output


def test_teardown_keeps_data_until_it_is_purged(site: Site) -> None:
    assert site.run().code == 0
    password = site.quay.users["quayadmin"]
    task = "tasks/teardown_openshift.py"
    down = site.run(task=task)
    assert down.code == 0, down.output
    assert not site.objects("deployments")
    assert not site.objects("services")
    assert not site.objects("jobs")
    assert "quaylab-database" in site.objects("persistentvolumeclaims")
    assert "quaylab-quay-bundle" in site.objects("secrets")

    up = site.run()
    assert up.code == 0, up.output
    assert site.quay.users["quayadmin"] == password

    wrong = site.run("--data", "purge=other.example.com", task=task)
    assert "purge: 'other.example.com' is not this registry's name" in wrong.output
    assert site.run("--data", f"purge={HOSTNAME}", task=task).code == 0
    ours = ("persistentvolumeclaims", "secrets", "configmaps", "deployments", "services")
    assert [site.objects(each) for each in ours] == [{}] * len(ours)
    assert not site.project.credentials.exists()
    assert ("namespaces", "", NAMESPACE) in site.api.storage.objects


def test_a_deploy_after_a_teardown_that_was_cut_off(site: Site) -> None:
    assert site.run().code == 0
    task, storage = "tasks/teardown_openshift.py", site.api.storage
    storage.endings |= dict.fromkeys(("deployments", "jobs"), 8.0)
    site.api.before = lambda request: "DELETE jobs quaylab-migrate-v3-18-0" in site.api.writes
    assert site.run(task=task).code != 0
    site.api.before = lambda request: False
    assert "deletionTimestamp" in site.objects("deployments")["quaylab-quay"]["metadata"]
    # What ends isn't deployed.
    up = site.run()
    assert up.code == 0, up.output
    assert "deletionTimestamp" not in site.objects("deployments")["quaylab-quay"]["metadata"]
    assert site.dry() == []


def test_a_claim_that_is_being_deleted(site: Site) -> None:
    assert site.run().code == 0
    # It hangs as long as its pod uses it.
    storage = site.api.storage
    storage.begin_deletion(("persistentvolumeclaims", NAMESPACE, "quaylab-database"), None)
    site.api.writes.clear()
    for task in ("tasks/openshift.py", "tasks/rotate_openshift.py", "tasks/teardown_openshift.py"):
        refused = site.run(task=task)
        assert refused.code != 0
        assert "PersistentVolumeClaim quaylab-database: it is being deleted, and goes" in (
            refused.output
        )
    assert site.api.writes == []
    status = site.run(task="tasks/status_openshift.py")
    assert status.code != 0
    assert "PersistentVolumeClaim quaylab-database: it is being deleted" in status.stdout
    purged = site.run("--data", f"purge={HOSTNAME}", task="tasks/teardown_openshift.py")
    assert purged.code == 0, purged.output
    assert not site.objects("persistentvolumeclaims")


def test_rotation(site: Site) -> None:
    assert site.run().code == 0
    before = site.objects("secrets")["quaylab-database"]["data"]["password"]
    user = site.quay.users["quayadmin"]
    result = site.run(task="tasks/rotate_openshift.py")
    assert result.code == 0, result.output
    assert site.objects("secrets")["quaylab-database"]["data"]["password"] != before
    assert site.quay.users["quayadmin"] != user
    assert site.dry() == []


def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(site: Site) -> None:
    for operation in OPERATIONS[:-1]:
        site.run("-v", until=operation)
    result = site.run()
    assert result.code == 0, result.output
    assert site.dry() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="port 443 is root's")
def test_a_route(site: Site) -> None:
    address = "127.83.0.1"
    site.controllers.address = site.quay.address = address
    site.quay.port = 443
    site.settings |= {"openshift_exposure": None, "quay_https_port": 443}
    result = site.run()
    assert result.code == 0, result.output
    spec = site.objects("routes")["quaylab-quay"]["spec"]
    assert spec["host"] == HOSTNAME
    assert spec["tls"]["termination"] == "passthrough"
    assert f"clients without DNS need {HOSTNAME} at {address}" in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="port 443 is root's")
@pytest.mark.parametrize("may_change", [False, True])
def test_a_route_for_another_host(site: Site, may_change: bool) -> None:
    site.controllers.address = site.quay.address = "127.83.0.1"
    site.quay.port = 443
    site.settings |= {"openshift_exposure": None, "quay_https_port": 443}
    if may_change:
        site.api.denied.clear()
    assert site.run().code == 0
    before = site.objects("routes")["quaylab-quay"]["metadata"]["uid"]
    site.settings["server_hostname"] = "images.example.com"
    assert "Lead clients to Quay" in site.dry()
    moved = site.run()
    assert moved.code == 0, moved.output
    route = site.objects("routes")["quaylab-quay"]
    assert route["spec"]["host"] == "images.example.com"
    # What others have added stays, if the login may change the host.
    assert (route["metadata"]["uid"] == before) is may_change
    assert site.dry() == []
