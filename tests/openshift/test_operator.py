"""A registry that Quay's operator makes: from nothing to its removal, by the real kubectl against
doubles of an API server, of OLM and of the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from quaylab.openshift.operator.description import PARTS
from tests.openshift.api import OLM
from tests.openshift.conftest import HOSTNAME, NAMESPACE, Site
from tests.openshift.operators import CATALOGUE, Operators

OPERATIONS = [
    "Save the credentials",
    "Create the namespace",
    "Record that Quay's operator makes the registry",
    "Install Quay's operator",
    "Write Quay's configuration",
    "Have the operator run Quay",
    "Lead clients to Quay",
    "Remove what the operator made and no longer looks after",
    "Remove objects that are no longer described",
    "Wait until the registry answers at its address",
    "Create the superuser",
    "Verify: log in, push, pull, delete",
    "Print the summary",
]
STATUS, TEARDOWN = "tasks/status_openshift.py", "tasks/teardown_openshift.py"


@pytest.fixture
def operators(site: Site) -> Iterator[Operators]:
    found = Operators(site.api)
    site.settings["openshift_method"] = "operator"
    with found.working():
        yield found


def _version(site: Site) -> str:
    status = site.objects("quayregistries")["quaylab"]["status"]
    return str(status["currentVersion"])


def test_from_nothing_to_an_upgrade(site: Site, operators: Operators) -> None:
    site.settings["quay_version"] = "v3.17.0"
    planned = site.dry()
    assert planned == [each for each in OPERATIONS if each not in (
        "Remove what the operator made and no longer looks after",
        "Remove objects that are no longer described",
        "Print the summary",
    )]  # fmt: skip
    assert site.api.writes == []

    first = site.run()
    assert first.code == 0, first.output
    assert first.operations == OPERATIONS
    # The operator's newest of the channel.
    assert _version(site) == "v3.17.4"
    assert "Quay v3.17.4" in first.output
    assert site.objects("deployments")["quaylab-quay-app"]["spec"]["replicas"] == 2
    assert "quaylab-quay" not in site.objects("deployments")

    site.api.writes.clear()
    second = site.run()
    assert second.code == 0, second.output
    assert site.api.writes == []
    assert site.dry() == []

    # Drift is named, and repaired.
    storage = site.api.storage
    registry = storage.get(("quayregistries", NAMESPACE, "quaylab"))
    registry["spec"]["components"][0]["overrides"]["replicas"] = 5
    storage.replace(("quayregistries", NAMESPACE, "quaylab"), registry, "kubectl-patch")
    storage.delete(("services", NAMESPACE, "quaylab-quay-public"))
    status = site.run(task=STATUS)
    lines = " ".join(status.stdout.split())
    assert "QuayRegistry quaylab: changed: spec.components[0].overrides.replicas" in lines
    assert "Service quaylab-quay-public: missing" in lines
    assert "quay-operator.v3.17.4 of channel stable-3.17 runs" in lines
    # A changed bundle reaches the pods at once.
    site.settings["quay_config"] = {"FEATURE_PROXY_CACHE": True}
    # What the operator once made of a component that it does not look after now, and another's.
    for name, labels in (
        ("quaylab-quay", {**PARTS, "quay-component": "quay-app-route"}),
        ("of-others", {}),
    ):
        route = {
            "apiVersion": "route.openshift.io/v1", "kind": "Route",
            "metadata": {"name": name, "labels": labels}, "spec": {"host": name},
        }  # fmt: skip
        site.api.add("routes", route, NAMESPACE)
    repaired = site.run()
    assert repaired.code == 0, repaired.output
    assert site.objects("deployments")["quaylab-quay-app"]["spec"]["replicas"] == 2
    assert list(site.objects("routes")) == ["of-others"]

    site.settings["quay_version"] = "v3.18.0"
    assert "then set database_backup to v3.17.4" in site.run().output
    assert _version(site) == "v3.17.4"
    upgraded = site.run("--data", "database_backup=v3.17.4")
    assert upgraded.code == 0, upgraded.output
    assert _version(site) == "v3.18.2"
    assert list(site.objects("clusterserviceversions")) == ["quay-operator.v3.18.2"]
    site.settings["openshift_method"] = "template"
    other = site.run()
    assert "openshift_method: template, but the registry in quay-enterprise was made with" in (
        other.output
    )


def test_a_killed_run_a_teardown_and_a_purge(site: Site, operators: Operators) -> None:
    for operation in ("Install Quay's operator", "Have the operator run Quay"):
        site.run(until=operation)
    finished = site.run()
    assert finished.code == 0, finished.output
    password = site.quay.users["quayadmin"]

    down = site.run(task=TEARDOWN)
    assert down.code == 0, down.output
    for kind in ("quayregistries", "subscriptions", "clusterserviceversions", "operatorgroups"):
        assert not site.objects(kind)
    assert not site.objects("deployments")
    claim = site.objects("persistentvolumeclaims")["quaylab-quay-postgres-13"]
    assert "ownerReferences" not in claim["metadata"]
    assert "quaylab-quay-registry-managed-secret-keys" in site.objects("secrets")
    assert "PersistentVolumeClaim: quaylab-quay-postgres-13" in down.output
    assert f"--data purge={HOSTNAME}" in down.output

    up = site.run()
    assert up.code == 0, up.output
    assert site.quay.users["quayadmin"] == password

    # Without the note a removal would find nothing of what runs.
    key = ("configmaps", NAMESPACE, "quaylab-registry")
    note = site.api.storage.get(key)
    site.api.storage.delete(key)
    blind = site.run(task=TEARDOWN)
    assert blind.code != 0
    assert (
        "it is gone, and QuayRegistry quaylab, Subscription quay-operator, Secret quaylab-quay-b"
        in (blind.output)
    )
    assert "kubectl create configmap quaylab-registry" in blind.output
    site.api.add("configmaps", note, NAMESPACE)

    purged = site.run("--data", f"purge={HOSTNAME}", task=TEARDOWN)
    assert purged.code == 0, purged.output
    ours = (
        "persistentvolumeclaims", "objectbucketclaims", "secrets", "configmaps", "deployments",
        "services", "quayregistries", "subscriptions",
    )  # fmt: skip
    assert [site.objects(each) for each in ours] == [{}] * len(ours)
    assert not site.project.credentials.exists()


def test_a_teardown_that_is_cut_off_and_repeated_keeps_the_data(
    site: Site, operators: Operators
) -> None:
    assert site.run().code == 0
    storage, key = site.api.storage, ("quayregistries", NAMESPACE, "quaylab")

    def cut_off(after: str) -> None:
        site.api.before = lambda request: after in site.api.writes
        assert site.run(task=TEARDOWN).code != 0
        site.api.before = lambda request: False

    # While the operator still works.
    operators.outlives = 300
    cut_off("DELETE clusterserviceversions quay-operator.v3.18.2")
    assert "deletionTimestamp" not in storage.get(key)["metadata"]
    # While the garbage collector still leaves the parts to nobody.
    storage.endings["quayregistries"] = 60
    cut_off("DELETE quayregistries quaylab")
    assert storage.get(key)["metadata"]["finalizers"] == ["orphan"]

    storage.endings.clear()
    down = site.run(task=TEARDOWN)
    assert down.code == 0, down.output
    assert not site.objects("quayregistries")
    claim = site.objects("persistentvolumeclaims")["quaylab-quay-postgres-13"]
    assert "ownerReferences" not in claim["metadata"]
    assert site.objects("objectbucketclaims")


def test_an_upgrade_that_was_cut_off_and_taken_down_is_not_undone(
    site: Site, operators: Operators
) -> None:
    site.settings["quay_version"] = "v3.17.0"
    assert site.run().code == 0
    site.settings["quay_version"] = "v3.18.0"
    backup = ("--data", "database_backup=v3.17.4")
    site.run("-v", *backup, until="Wait until the registry answers at its address")
    assert _version(site) == "v3.18.2"
    for _ in range(2):
        down = site.run(task=TEARDOWN)
        assert down.code == 0, down.output
    site.settings["quay_version"] = "v3.17.0"
    back = site.run()
    assert "quay_version: v3.17.0, but v3.18.2 is there" in back.output
    site.settings["quay_version"] = "v3.18.0"
    up = site.run()
    assert up.code == 0, up.output
    assert site.dry() == []


def _plain_kubernetes(site: Site, operators: Operators) -> None:
    site.api.kinds = {each: kinds for each, kinds in site.api.kinds.items() if each not in OLM}


def _without_our_channel(site: Site, operators: Operators) -> None:
    del operators.channels["stable-3.18"]
    operators.publish(CATALOGUE)
    namespace = {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        "status": {"phase": "Active"},
    }  # fmt: skip
    group = {
        "apiVersion": "operators.coreos.com/v1", "kind": "OperatorGroup",
        "metadata": {"name": "of-others"}, "spec": {},
    }  # fmt: skip
    site.api.add("namespaces", namespace)
    site.api.add("operatorgroups", group, NAMESPACE)


def _without_rights(site: Site, operators: Operators) -> None:
    site.api.denied |= {"create subscriptions", "list packagemanifests"}


@pytest.mark.parametrize(
    ("prepare", "lines"),
    [
        (
            _plain_kubernetes,
            [
                "the Operator Lifecycle Manager, which a plain Kubernetes lacks",
                "storage: not set, so the operator would make a bucket",
            ],
        ),
        (
            _without_our_channel,
            [
                "quay_version: v3.18.0 is of the channel stable-3.18",
                "has: stable-3.17;",
                "has the OperatorGroup of-others, and OLM takes one",
            ],
        ),
        (
            _without_rights,
            [
                "lab may not create subscriptions.operators.coreos.com in",
                "lab may not list packagemanifests.packages.operators.coreos.com in",
            ],
        ),
    ],
    ids=["API", "catalogue", "rights"],
)
def test_refused_before_anything_is_made(
    site: Site,
    operators: Operators,
    prepare: Callable[[Site, Operators], None],
    lines: list[str],
) -> None:
    prepare(site, operators)
    result = site.run()
    assert result.code != 0
    for line in lines:
        assert line in result.output
    assert "nothing was changed" in result.output
    assert site.api.writes == []


def test_what_olm_and_the_operator_say_is_in_the_error(site: Site, operators: Operators) -> None:
    operators.fault = ("InstallPlanFailed", "the pull of the bundle was refused")
    failed = site.run()
    assert "Quay's operator does not run" in failed.output
    assert "InstallPlanFailed: the pull of the bundle was refused" in failed.output

    operators.fault = None
    site.controllers.faults["quaylab-quay-app"] = "image"
    failed = site.run()
    assert "the registry is not available" in failed.output
    assert "ComponentQuayReady: ComponentNotReady: Deployment quaylab-quay-app has zero" in (
        failed.output
    )
    assert "ImagePullBackOff: Back-off pulling image" in failed.output

    site.controllers.faults.clear()
    site.controllers.pass_time()
    mended = site.run()
    assert mended.code == 0, mended.output
