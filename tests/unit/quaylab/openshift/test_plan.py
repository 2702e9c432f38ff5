"""The plan of a run on a cluster: what follows from the note that is there."""

from __future__ import annotations

import dataclasses

import pytest

from quaylab import plan as plans
from quaylab.openshift import refusals
from quaylab.openshift.cluster import Access
from quaylab.openshift.description import note
from quaylab.openshift.layout import GROUP
from quaylab.openshift.plan import ClusterPlan, scope_of, verification
from quaylab.secrets.credentials import Store
from tests.unit import samples
from tests.unit.clusters import CLUSTER, GIVEN


def _plan(store: Store, schema: str | None = None) -> ClusterPlan:
    hosts = [samples.host("@local", (GROUP,), **GIVEN)]
    registry = plans.make(hosts, {"@local": samples.machine()}, store)
    found = {}
    if schema:
        there = scope_of(registry).manifest(note(registry, schema))
        found = {(there["kind"], there["metadata"]["name"]): there}
    cluster = dataclasses.replace(CLUSTER, found=found)
    return ClusterPlan(registry, Access.of(registry.settings), cluster)


@pytest.mark.parametrize(
    ("schema", "migrates", "dumps"),
    [(None, True, False), ("v3.17.4", True, True), ("v3.18.0", False, False)],
    ids=["new", "upgrade", "same"],
)
def test_what_a_schema_needs(store: Store, schema: str | None, migrates: bool, dumps: bool) -> None:
    plan = _plan(store, schema)
    assert plan.schema == schema
    assert plan.migrates is migrates
    assert (plan.template.dump is not None) is dumps


def test_kubectl_is_called_with_the_settings_alone(store: Store) -> None:
    plan = _plan(store)
    assert plan.access.options[:3] == (
        "--kubeconfig=/root/.kube/config",
        "--context=lab",
        "--namespace=quay-enterprise",
    )


def test_a_restoration_reads_the_dump_of_an_upgrade(store: Store) -> None:
    plan = _plan(store, "v3.17.4")
    dump = plan.template.dump
    assert dump
    (before,) = dump.content["spec"]["template"]["spec"]["containers"]
    job = plan.restoration("v3.17.4-to-v3.18.0")
    assert job.name == "quaylab-restore-v3-17-4-to-v3-18-0"
    (problem,) = refusals.restore_problems([dump.name, job.name], "quay-enterprise")
    assert f"kubectl delete job/{job.name} --namespace=quay-enterprise" in problem
    (after,) = job.content["spec"]["template"]["spec"]["containers"]
    assert before["command"][-1] == after["command"][-1] == "v3.17.4-to-v3.18.0"
    assert before["volumeMounts"] == after["volumeMounts"]


def test_the_verified_deployment_is_noted() -> None:
    assert verification("uid digest").content == {"data": {"quay": "uid digest"}}
